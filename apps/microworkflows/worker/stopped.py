"""Stopped processes of the pool: one that a signal has stopped, and that nobody continues, is replaced.

A stopped process keeps its message, its transaction and the locks in it, and no time limit holds there without a setting. One
that merely takes long is left to the time limits: only its handler's author knows how long is too long.
"""

import logging
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from celery import bootsteps

from microworkflows.worker import celery_internals

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_LOOKS = 6
"""Looks in a row that find a process stopped, after which it is killed."""
_STOPPED = "T"
"""State of a process that was stopped by a signal; one that a debugger holds has another, ``t``."""


class StoppedProcesses(bootsteps.StartStopStep):
    """Looks after the processes of the pool where the system shows their states in ``/proc``, as Linux does."""

    requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._found: Counter[int] = Counter()

    def start(self, worker: Any) -> None:
        """Begin to look, every few seconds; a worker that stops looks on, as it waits for its pool."""
        worker.timer.call_repeatedly(_LOOK_SECONDS, self.look, (worker.pool,))

    def look(self, pool: Any) -> None:
        """Kill each process that was stopped at this look and at those before; the pool then replaces it."""
        stopped = [pid for pid in celery_internals.pids(pool) if _state(pid) == _STOPPED]
        self._found = Counter({pid: self._found[pid] + 1 for pid in stopped})
        for pid, times in self._found.items():
            if times >= _LOOKS:
                logger.error(
                    "process %d of the pool has been stopped for %d s and is killed; its messages come again",
                    *(pid, times * _LOOK_SECONDS),
                )
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _state(pid: int) -> str:
    """Return the letter that says what a process does; empty if nobody knows."""
    try:
        # The name that comes before, in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
