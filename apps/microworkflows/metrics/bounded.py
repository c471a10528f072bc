"""Work that nobody waits for longer than a given time, as when a database or a broker is away and does not even refuse.

Each piece runs in a thread of its own, one of a name at a time: what hangs is left to its own limits, and piles up nothing.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping

_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def run(works: Mapping[str, Callable[[], None]], *, seconds: float) -> None:
    """Do all of these at once, and wait for them no longer than this; nobody is told which of them have not ended.

    One that has not begun by then, because an earlier one of its name goes on, is not done. An exception ends a work's thread
    alone, so a work keeps its own.
    """
    deadline = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_do, args=[_locks[name], work, deadline], name=f"bounded-{name}", daemon=True)
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))


def _do(lock: threading.Lock, work: Callable[[], None], deadline: float) -> None:
    if lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
        try:
            work()
        finally:
            lock.release()
