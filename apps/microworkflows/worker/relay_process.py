"""The worker's relay: a process of its own beside the pool, started, watched and ended with the worker."""

import logging
import os
import signal
import subprocess
import sys
from typing import Any

from celery import bootsteps

from microworkflows import registry

logger = logging.getLogger(__name__)

_STOP_SECONDS = 20
_WATCH_SECONDS = 1.0


class RelayProcess(bootsteps.StartStopStep):
    """Runs ``manage.py relay`` for the contexts whose queues the worker consumes.

    A process, not a thread: the pool forks at any time, and a fork copies a thread's locks and sockets but not
    the thread; and publishing does not compete with the pool's parent for one interpreter lock.
    """

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, *, no_relay: bool = False, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.enabled = not no_relay
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def start(self, worker: Any) -> None:
        """Start the relay and look each second whether it still runs."""
        self._contexts = sorted(set(worker.app.amqp.queues.consume_from) & set(registry.contexts()))
        if self._contexts:
            self._spawn()
            worker.timer.call_repeatedly(_WATCH_SECONDS, self._watch)

    def stop(self, worker: Any) -> None:
        """Let the relay finish its batch, then end it."""
        self._stopping = True
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error(
                "relay %d did not stop in %d s and is killed; the outbox keeps the rest",
                self._process.pid,
                _STOP_SECONDS,
            )
            self._process.kill()
            self._process.wait()

    def terminate(self, worker: Any) -> None:
        """End it the same way when the worker is told to hurry: its batch takes no time."""
        self.stop(worker)

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "django", "relay", "--parent", str(os.getpid()), *self._contexts]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, ["", *sys.path]))}
        self._process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603  (own command)
        logger.info("relay of %s runs as process %d", ", ".join(self._contexts), self._process.pid)

    def _watch(self) -> None:
        if not self._stopping and self._process is not None and (status := self._process.poll()) is not None:
            logger.error("relay %d ended with status %d and is started again", self._process.pid, status)
            self._spawn()
