"""Waiting for a condition with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(
    look: Callable[[], Found],
    *,
    timeout: float = 45,
    what: str = "",
    every: float = 0.03,
) -> Found:
    """Return what ``look`` finds as soon as that is truthy; fail with what it found last."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{what or 'the condition'} did not come true in {timeout} s; last seen: {found!r}"
            )
        time.sleep(every)
