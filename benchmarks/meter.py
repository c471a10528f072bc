"""Counting what comes into queues by emptying them: after a million messages the broker has as little to keep as before."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from kombu import Connection

from project.processes.waiting import Patience


class Meter:
    """Empties queues again and again, in a thread, and notes how many messages had come when."""

    def __init__(self, url: str, *names: str, every: float = 0.05) -> None:
        self._connection = Connection(url)
        self._channel: Any = self._connection.channel()
        self._names = names
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.times: list[float] = []
        """Seconds of the monotonic clock; the first is when the first messages were seen."""
        self.totals: list[int] = []
        """How many messages had come by then."""

    def __enter__(self) -> Self:
        self._empty()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._connection.close()

    @property
    def total(self) -> int:
        """How many messages came so far."""
        return self.totals[-1] if self.totals else 0

    def wait(
        self, expected: int, *, timeout: float = 180, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Wait until so many messages came.

        Raises:
            TimeoutError: they did not, and for so long none did.
        """
        patience = Patience(timeout)
        while self.total < expected:
            if patience.is_over(str(self.total)) or not self._thread.is_alive():
                raise TimeoutError(
                    f"{self.total} of {expected} messages came, and then none in {timeout:.0f} s"
                )
            meanwhile()
            time.sleep(self._every)

    def rate(self, first: int = 0, last: int | None = None) -> float:
        """Return messages a second between the one with the number ``first`` and the one with the number ``last``."""
        began, ended = bisect_left(self.totals, first), bisect_left(self.totals, last or self.total)
        return (self.totals[ended] - self.totals[began]) / (self.times[ended] - self.times[began])

    def for_seconds(self, seconds: float) -> float:
        """Wait so long, or until nothing comes any more; return messages a second meanwhile."""
        began, total = time.monotonic(), -1
        while time.monotonic() < began + seconds and total < self.total:
            total = self.total
            time.sleep(10 * self._every)
        return self.rate_between(began, time.monotonic())

    def rate_between(self, began_at: float, ended_at: float) -> float:
        """Return messages a second between two times of the monotonic clock."""
        began, ended = (min(bisect_left(self.times, at), len(self.times) - 1) for at in (began_at, ended_at))
        return (self.totals[ended] - self.totals[began]) / (self.times[ended] - self.times[began])

    def by_second(self) -> list[int]:
        """Return how many messages came in each whole second since the first."""
        counts: list[int] = []
        before = self.totals[0]
        for at, total in zip(self.times, self.totals, strict=True):
            second = int(at - self.times[0])
            counts.extend([0] * (second + 1 - len(counts)))
            counts[second] += total - before
            before = total
        return counts[:-1]

    def _count(self) -> None:
        while not self._stop.wait(self._every):
            if came := self._empty():
                self.totals.append(self.total + came)
                self.times.append(time.monotonic())

    def _empty(self) -> int:
        return sum(self._channel.queue_purge(name) for name in self._names)
