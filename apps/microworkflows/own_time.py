"""A thread's own time: the clock, less what the thread waited for a processor.

On a busy machine the clock tells how long the others took as well. Linux adds up the waiting of each thread, in
nanoseconds; where it does not, the clock alone tells.
"""

import time

_SCHEDULED = "/proc/thread-self/schedstat"
"""Time on a processor, time waited for one, and number of turns; zeros on a kernel that does not count."""


def now() -> float:
    """Return a time in seconds, of which only differences within one thread have a meaning."""
    return time.monotonic() - _waited()


def _waited() -> float:
    try:
        with open(_SCHEDULED, "rb", buffering=0) as file:
            return int(file.read(100).split()[1]) / 1e9
    except OSError:  # another system, or a container that hides or forbids it
        return 0.0
