"""Waiting for a condition, with a limit on the time that passes without progress: a slow machine fails nobody."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

from project.processes import tree

Found = TypeVar("Found")

_WORK = 0.1
"""Processes that compute for this share of the time are at work; those that are stuck or wait need less."""
_MOST_EXTENSIONS = 5

_SHARE, _LONGEST_SECONDS = 0.05, 0.15
"""Who has waited for long looks less often: after this share of the time waited, up to a limit. Looks cost others their time."""


class NotYetError(AssertionError):
    """What was waited for did not come true."""


class Patience:
    """Runs out after some seconds in which nothing that is seen changed and nothing that this process started worked."""

    _worked: float | None

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen = ""
        self._renew(extensions=0)

    def is_over(self, seen: str) -> bool:
        """Tell whether it is, from what is seen now."""
        now = time.monotonic()
        if seen != self._seen:
            self._seen = seen
            self._renew(extensions=0)
        if self._worked is None and now >= self._deadline - self._seconds / 2:
            self._worked = _work()  # costly, so not before it is likely to matter
        if now < self._deadline:
            return False
        worked = _work() - (self._worked or 0)
        if self._extensions == _MOST_EXTENSIONS or worked <= _WORK * self._seconds / 2:
            return True
        self._renew(extensions=self._extensions + 1)
        return False

    def _renew(self, *, extensions: int) -> None:
        self._extensions = extensions
        self._deadline = time.monotonic() + self._seconds
        self._worked = None


def eventually(
    look: Callable[[], Found],
    *,
    timeout: float = 45,
    what: str = "",
    every: float = 0.03,
    progress: Callable[[], object] | None = None,
) -> Found:
    """Return what ``look`` finds as soon as that is true.

    Args:
        look: It is asked again and again.
        timeout: Seconds without progress.
        what: What is waited for, for the error.
        every: Seconds between two looks, at first.
        progress: Returns something that changes with each bit of progress; what ``look`` finds, if it is left out.

    Raises:
        NotYetError: it did not come true; the message says what was found last.
    """
    patience, began = Patience(timeout), time.monotonic()
    while not (found := look()):
        if patience.is_over(repr(progress() if progress else found)):
            seen = progress() if progress else found
            raise NotYetError(
                f"Waited for {what or 'a condition'} through {timeout:g} s without progress; last seen: {seen!r}"
            )
        waited = time.monotonic() - began
        time.sleep(max(every, min(_SHARE * waited, _LONGEST_SECONDS)))
    return found


def _work() -> float:
    return tree.cpu_seconds(tree.descendants(os.getpid()))
