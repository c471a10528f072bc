"""The worker's relay: a separate process beside the pool, started and watched with it, ended after it.

It shows its worker that it lives through a pipe. One that ends, or falls silent because it is frozen, is replaced.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from celery import bootsteps, signals

from microworkflows import topology

logger = logging.getLogger(__name__)

_STOP_SECONDS = 20
_WATCH_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_SILENT_LOOKS = 30
"""Looks in a row that find no sign of life, after which a relay is killed: a leader's lease. Looks, as the worker may be frozen, too."""
_START_LOOKS = 120
"""The same while it starts."""


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
        self._life = -1
        self._looks_left = 0

    def start(self, worker: Any) -> None:
        """Start the relay, and check every second that it lives."""
        self._queues = sorted(topology.among(worker.app.amqp.queues.consume_from))
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
        self._forget_life()
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
        """Start a relay; what keeps it from starting, such as a lack of memory, is tried again later."""
        self._started_at = time.monotonic()
        self._forget_life()
        self._life, shown = os.pipe()
        os.set_blocking(self._life, False)
        watched = ["--parent", str(os.getpid()), "--life", str(shown)]
        command = [sys.executable, "-m", "django", "relay", *watched, *self._queues]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, ["", *sys.path]))}
        try:
            self._process = subprocess.Popen(  # noqa: S603  (own command)
                command, env=environment, start_new_session=True, pass_fds=[shown]
            )
        except OSError as error:
            self._start_again(f"could not be started ({error})")
            return
        finally:
            os.close(shown)
        self._looks_left = _START_LOOKS
        logger.info("relay of %s runs as process %d", ", ".join(self._queues), self._process.pid)

    def _watch(self) -> None:
        """Restart a relay that ended: at once, or after ever longer waits if it ends soon each time."""
        if self._process is None:
            return
        if (status := self._process.poll()) is None:
            self._look_for_life(self._process)
            return
        ended, self._process = self._process, None
        self._start_again(f"{ended.pid} ended with status {status}")

    def _start_again(self, why: str) -> None:
        if time.monotonic() > self._started_at + _LONGEST_WAIT_SECONDS:
            self._early_ends = 0
        wait = min(2.0**self._early_ends - 1, _LONGEST_WAIT_SECONDS)
        logger.error("relay %s and is started again in %d s", why, wait)
        self._early_ends += 1
        self._timer.call_after(wait, self._spawn)

    def _look_for_life(self, process: "subprocess.Popen[bytes]") -> None:
        """Kill a relay that has shown no sign of life for too long: it may be frozen, and hold the lead."""
        self._looks_left -= 1
        with suppress(BlockingIOError):
            if os.read(self._life, 4096):
                self._looks_left = _SILENT_LOOKS
        if self._looks_left > 0:
            return
        self._looks_left = _SILENT_LOOKS
        logger.error(
            "relay %d shows no sign of life and is killed; nothing is lost, the next one goes on", process.pid
        )
        process.kill()

    def _forget_life(self) -> None:
        life, self._life = self._life, -1
        if life >= 0:
            os.close(life)
