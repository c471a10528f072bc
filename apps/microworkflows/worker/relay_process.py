"""The worker's relay: a separate process beside the pool, started and watched with it, ended after it."""

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from celery import bootsteps, signals

from microworkflows import topology

logger = logging.getLogger(__name__)

_STOP_SECONDS = 20
_WATCH_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0


class RelayProcess(bootsteps.StartStopStep):
    """Runs ``manage.py relay`` for the contexts whose queues the worker consumes.

    It is a process, not a thread: the pool forks at any time, and a fork copies a thread's locks and sockets but not
    the thread. Publishing also does not compete with the pool's parent for one interpreter lock.
    """

    requires = ("celery.worker.components:Timer",)

    def __init__(self, worker: Any, *, no_relay: bool = False, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self.enabled = not no_relay
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._early_ends = 0

    def start(self, worker: Any) -> None:
        """Start the relay, and check every second that it still runs."""
        self._queues = sorted(set(worker.app.amqp.queues.consume_from) & set(topology.queues()))
        self._timer = worker.timer
        if self._queues:
            self._spawn()
            self._timer.call_repeatedly(_WATCH_SECONDS, self._watch)
            # Celery stops its steps before the pool that they needed; this comes after the pool.
            signals.worker_shutdown.connect(self._end, sender=worker, weak=False)

    def terminate(self, worker: Any) -> None:
        """End the relay in the same way, even if the worker has to hurry: it does not take long."""
        self._end()

    def _end(self, **_: Any) -> None:
        """Let the relay send the events that the last handlers recorded, then end it."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            logger.error(
                "relay %d did not stop in %d s and is killed; the outbox keeps the rest",
                process.pid,
                _STOP_SECONDS,
            )
            process.kill()
            process.wait()

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "django", "relay", "--parent", str(os.getpid()), *self._queues]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, ["", *sys.path]))}
        self._process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603  (own command)
        self._started_at = time.monotonic()
        logger.info("relay of %s runs as process %d", ", ".join(self._queues), self._process.pid)

    def _watch(self) -> None:
        """Restart a relay that ended: at once, or after ever longer waits if it ends soon each time."""
        if self._process is None or (status := self._process.poll()) is None:
            return
        if time.monotonic() > self._started_at + _LONGEST_WAIT_SECONDS:
            self._early_ends = 0
        wait = min(2.0**self._early_ends - 1, _LONGEST_WAIT_SECONDS)
        logger.error(
            "relay %d ended with status %d and is started again in %d s", self._process.pid, status, wait
        )
        self._process, self._early_ends = None, self._early_ends + 1
        self._timer.call_after(wait, self._spawn)
