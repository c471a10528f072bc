"""The watch over the worker's event loop: one that stands still is freed from the connection that it waits for.

Celery and py-amqp wait without a limit for the answer to a command, and for the rest of a message of which the beginning has
come. Over a broken link neither comes, and the loop that would notice missed heartbeats is the one that waits.
"""

import logging
import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from celery import bootsteps
from celery.bootsteps import RUN  # type: ignore[attr-defined]  # the stubs leave it out

from microworkflows.worker import celery_internals

logger = logging.getLogger(__name__)

_LONGEST_SECONDS = 25.0
_LINES = 4
_SIGN_SECONDS = 1.0
_watching = False
_sign: Path | None = None
_signed_at = 0.0


class Watch(bootsteps.StartStopStep):
    """Sets an alarm that the consumer puts off at each of its rounds; needs a pool of processes.

    A signal interrupts whatever the parent does, as no timer of its own can, and unlike a thread does no harm to forks.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, *, alive: str | None = None, **kwargs: Any) -> None:
        global _sign
        super().__init__(worker, **kwargs)
        self._worker = worker
        self._pid = os.getpid()
        _sign = Path(alive) if alive else None
        if _sign is not None:
            _sign.touch()  # one that cannot be made ends the worker here, where somebody looks

    def include_if(self, worker: Any) -> bool:
        """Watch where the parent does nothing but its loop, and may receive signals."""
        return (
            worker.use_eventloop
            and worker.pool_cls.uses_semaphore
            and threading.current_thread() is threading.main_thread()
        )

    def start(self, worker: Any) -> None:
        """Begin to watch."""
        global _watching
        _watching = True
        signal.signal(signal.SIGALRM, self._on_alarm)
        progress()

    def stop(self, worker: Any) -> None:
        """End the watch: a worker that stops waits for its last messages, however long."""
        global _watching
        _watching = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def terminate(self, worker: Any) -> None:
        """End the watch."""
        self.stop(worker)

    def register_with_event_loop(self, worker: Any, hub: object) -> None:
        """Prepare the pool for a new round of the loop, after a connection was lost; Celery's own step comes next."""
        celery_internals.forget_closed_sentinels(worker.pool)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a process of the pool, whose task has set an alarm without a handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        consumer = self._worker.consumer
        if not self._worker.blueprint.state == consumer.blueprint.state == RUN:
            return
        logger.error(
            "the event loop stands still, at %s; its connections to the broker are closed, and it connects anew",
            _place(frame),
        )
        for connection in consumer.open_connections():
            celery_internals.hang_up(connection)
        progress()


def progress() -> None:
    """Put the alarm off: the worker's parent makes progress, or waits for what it is to wait for.

    It also touches the file that ``--alive`` names, for whoever supervises the worker: no server has to answer for that.
    """
    global _signed_at
    if _watching:
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_SECONDS)
    if _sign is not None and time.monotonic() >= _signed_at + _SIGN_SECONDS:
        _signed_at = time.monotonic()
        with suppress(OSError):  # it grows old, which is all that it can tell
            _sign.touch()


def _place(frame: FrameType | None) -> str:
    places = traceback.extract_stack(frame, limit=_LINES)
    return " < ".join(f"{place.name} ({place.filename}:{place.lineno})" for place in reversed(places))
