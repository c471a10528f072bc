"""Units of work that are open: the request or task that a thread or coroutine serves, and the transaction of each connection."""

from __future__ import annotations

import time
from contextvars import ContextVar
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows_xray.observed.places import Spot
from microworkflows_xray.observed.readings import Reading
from microworkflows_xray.observed.tally import Kind, Tally

MOST_SEEN = 5_000
"""A single unit remembers at most so many pairs of place and statement."""
MOST_INNER = 1_000
"""A request or task remembers at most so many transactions inside."""


class Unit:
    """A request, a task, an atomic block or a single statement."""

    def __init__(
        self, kind: Kind, name: str = "", *, around: Unit | None = None, atomic: bool = True
    ) -> None:
        self.kind = kind
        self.name = name
        self.around = around
        self.atomic = atomic
        self.seen: set[tuple[Spot, Reading]] = set()
        self.writers: dict[str, set[str]] = {}
        self.on_commit: list[str] = []
        self.network: set[str] = set()
        self.lock_wait_seconds = 0.0
        self.began = time.perf_counter()
        self.inner: list[Unit] = []
        self.spot: Spot | None = None
        """Place to which it leads, for what happens without any code that is looked at."""
        self.truncated = False

    def saw(self, spot: Spot, reading: Reading, functions: tuple[str, ...], waited: float) -> None:
        """Note a statement, the functions that were running, and the seconds that it waited for a lock."""
        if len(self.seen) >= MOST_SEEN:
            self.truncated = True
            return
        self.seen.add((spot, reading))
        self.lock_wait_seconds += waited
        if reading.written:
            for function in functions or ((spot.place.function,) if spot.place.function else ()):
                self.writers.setdefault(function, set()).update(reading.written)

    def close(self, tally: Tally) -> None:
        """Add it to what was seen; a unit inside a request or task waits for that, which is named at its end."""
        self.seconds = time.perf_counter() - self.began
        if self.around is None or self.around.closed:
            self._add(tally)
        elif len(self.around.inner) < MOST_INNER:
            self.around.inner.append(self)
        else:
            self.around.truncated = True
        for unit in self.inner:
            unit._add(tally)  # noqa: SLF001 - its own kind
        self.inner.clear()
        self.closed = True

    closed = False
    seconds = 0.0

    def _add(self, tally: Tally) -> None:
        if self.kind != "request" and not (self.seen or self.network or self.on_commit):
            return  # nothing that is looked at happened, such as in the transaction that empties the tests' tables
        around = f"{self.around.kind} {self.around.name}" if self.around else ""
        tally.add(
            (self.kind, self.name, around, self.atomic),
            seen=self.seen,
            writers=self.writers.items(),
            on_commit=self.on_commit,
            network=self.network,
            lock_wait_seconds=self.lock_wait_seconds,
            seconds=self.seconds,
        )
        tally.dropped += self.truncated


class Block:
    """The transaction that is open on a connection: from the outermost atomic block, not counting the one that a test runs in."""

    __slots__ = ("callbacks", "depth", "unit")

    def __init__(self, unit: Unit, callbacks: int) -> None:
        self.unit = unit
        self.depth = 0
        """Number of atomic blocks that are open, savepoints included."""
        self.callbacks = callbacks
        """Number of callbacks that waited for a commit already: in a test's transaction they are those of earlier blocks."""


serving: ContextVar[Unit | None] = ContextVar("microworkflows_xray_serving", default=None)
"""The request or task that is being served."""
blocks: WeakKeyDictionary[BaseDatabaseWrapper, Block] = WeakKeyDictionary()
"""The transaction that is open on each connection."""
