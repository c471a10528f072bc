"""Adds up what was seen: one entry for each kind of unit, however often it ran."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from microworkflows_xray.facts import Access, Transaction, Writer
from microworkflows_xray.observed.places import Spot
from microworkflows_xray.observed.readings import Reading

Kind = Literal["request", "task", "atomic", "statement", "test"]
Key = tuple[Kind, str, str, bool]
"""Kind, name, unit around it, and whether it commits as one."""
MOST_ENTRIES = 20_000
MOST_ACCESSES = 200_000
"""Bounds over all entries; what does not fit is counted in :attr:`Tally.dropped`."""


@dataclass
class Entry:
    """All runs of one kind of unit."""

    count: int = 0
    seen: set[tuple[Spot, Reading]] = field(default_factory=set)
    accesses: set[Access] = field(default_factory=set)
    writers: dict[str, set[str]] = field(default_factory=dict)
    on_commit: dict[str, None] = field(default_factory=dict)
    network: set[str] = field(default_factory=set)
    lock_wait_seconds: float = 0.0
    seconds: float = 0.0


class Tally:
    """Entries by kind of unit. Threads share it."""

    def __init__(self, *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._entries: dict[Key, Entry] = {}
        self._lock = threading.Lock()
        self._accesses = 0
        self.news = 0
        """Grows whenever something is seen for the first time."""
        self.dropped = 0
        """Number of units and accesses beyond the bounds."""

    def add(
        self,
        key: Key,
        *,
        count: int = 1,
        seen: Iterable[tuple[Spot, Reading]] = (),
        accesses: Iterable[Access] = (),
        writers: Iterable[tuple[str, Iterable[str]]] = (),
        on_commit: Iterable[str] = (),
        network: Iterable[str] = (),
        lock_wait_seconds: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        """Add runs of a unit: their number, what they touched, and the seconds that they took altogether."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                if self._bounded and len(self._entries) >= MOST_ENTRIES:
                    self.dropped += 1
                    return
                entry = self._entries[key] = Entry()
                self.news += 1
            entry.count += count
            entry.seconds += seconds
            entry.lock_wait_seconds += lock_wait_seconds
            for pair in seen:
                if pair not in entry.seen:
                    entry.seen.add(pair)
                    self._touch(entry, pair[1].accesses(pair[0]))
            self._touch(entry, accesses)
            for function, tables in writers:
                entry.writers.setdefault(function, set()).update(tables)
            entry.on_commit.update(dict.fromkeys(on_commit))
            entry.network.update(network)

    def _touch(self, entry: Entry, accesses: Iterable[Access]) -> None:
        for access in accesses:
            if access in entry.accesses:
                continue
            if self._bounded and self._accesses >= MOST_ACCESSES:
                self.dropped += 1
                continue
            self._accesses += 1
            self.news += 1
            entry.accesses.add(access)

    def transactions(self) -> tuple[Transaction, ...]:
        """Return all entries, sorted."""
        with self._lock:
            return tuple(_transaction(key, self._entries[key]) for key in sorted(self._entries))


def _transaction(key: Key, entry: Entry) -> Transaction:
    kind, name, inside, atomic = key
    return Transaction(
        kind=kind,
        name=name,
        count=entry.count,
        accesses=tuple(sorted(entry.accesses, key=_order)),
        on_commit=tuple(entry.on_commit),
        network=tuple(sorted(entry.network)),
        lock_wait_seconds=round(entry.lock_wait_seconds, 6),
        seconds=round(entry.seconds, 6),
        inside=inside,
        atomic=atomic,
        writers=tuple(Writer(name, tuple(sorted(entry.writers[name]))) for name in sorted(entry.writers)),
    )


def _order(access: Access) -> tuple[object, ...]:
    """Accesses compare by their fields, but None and a tuple of columns do not."""
    return (
        access.table,
        access.verb,
        access.columns is not None,
        access.columns or (),
        access.how,
        access.place,
        access.joins,
    )
