"""Proposals: how long flows really take from one event to another, beside the deadlines that are declared, and what these could be.

A proposal never alarms: somebody reads it, and declares a deadline.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from microworkflows import times
from microworkflows.journal import histograms
from microworkflows.journal.models import Event, Flow, Minute
from microworkflows.journal.states import Declared, Pair

MOST_FLOWS: Final = 5_000
"""Number of flows that are looked at, the newest."""

ENOUGH: Final = 20
"""Number of flows from which on a deadline is proposed."""

HOPS_OF: Final = timedelta(hours=24)
"""Time of which the hops are looked at."""

_AT_ONCE = 500
_ROUND = (1, 2, 3, 5, 10, 15, 20, 30, 45)


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way of flows from one event to another."""

    awaited: str
    of: str
    declared: timedelta | None
    """The deadline; None if none is declared."""
    flows: int
    """Number of flows in which both happened."""
    median: timedelta | None
    p99: timedelta | None
    longest: timedelta | None

    @property
    def proposed(self) -> timedelta | None:
        """A round time well above what was seen; None if too little was seen."""
        if self.flows < ENOUGH or self.p99 is None or self.longest is None:
            return None
        return rounded_up(max(3 * self.p99, 1.5 * self.longest))


@dataclass(frozen=True, kw_only=True)
class Hop:
    """The way of an event type into a consumer, from recording to handling; right within a factor of two."""

    type: str
    consumer: str
    count: int
    median: timedelta
    p99: timedelta


def ways() -> list[Way]:
    """Return the ways with a declared deadline, and those from a flow's first event to its final one."""
    declared = Declared.read()
    seen: dict[Pair, list[timedelta]] = {pair: [] for pair in declared.within}
    for begun in _begun():
        first = min(begun, key=lambda type: begun[type])
        finals = {(final, first) for final in declared.outcomes if final != first}
        for pair in {*declared.within, *finals}:
            if pair[0] in begun and pair[1] in begun:
                seen.setdefault(pair, []).append(max(begun[pair[0]] - begun[pair[1]], timedelta()))
    return [_way(pair, sorted(seen[pair]), declared.within.get(pair)) for pair in sorted(seen)]


def hops(*, now: datetime) -> list[Hop]:
    """Return the hops of the last day, the slowest first."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(list)
    rows = Minute.objects.filter(at__gte=times.stored(now - HOPS_OF)).exclude(consumer="").order_by()
    for type, consumer, hops in rows.values_list("type", "consumer", "hops").iterator():
        sums[type, consumer] = histograms.added(sums[type, consumer], hops)
    found = [
        Hop(type=type, consumer=consumer, count=sum(counts), median=_at(counts, 0.5), p99=_at(counts, 0.99))
        for (type, consumer), counts in sums.items()
        if sum(counts)
    ]
    return sorted(found, key=lambda hop: hop.p99, reverse=True)


def rounded_up(time: timedelta) -> timedelta:
    """Return the next round time, such as 45 s, 2 min or 3 h."""
    seconds = max(time.total_seconds(), 1.0)
    for unit, units in ((1, 60), (60, 60), (3600, 24)):
        for step in _ROUND:
            if step < units and seconds <= step * unit:
                return timedelta(seconds=step * unit)
    return timedelta(days=math.ceil(seconds / 86_400))


def _begun() -> Iterator[Mapping[str, datetime]]:
    """Yield, for each flow, when the first event of each type was recorded."""
    newest = list(Flow.objects.order_by("-began_at").values_list("pk", flat=True)[:MOST_FLOWS])
    for at in range(0, len(newest), _AT_ONCE):
        begun: dict[int, dict[str, datetime]] = defaultdict(dict)
        rows = Event.objects.filter(flow__in=newest[at : at + _AT_ONCE]).order_by()
        for flow, type, recorded_at in rows.values_list("flow_id", "type", "recorded_at"):
            begun[flow][type] = min(begun[flow].get(type, recorded_at), recorded_at)
        yield from begun.values()


def _way(pair: Pair, taken: Sequence[timedelta], declared: timedelta | None) -> Way:
    def at(share: float) -> timedelta | None:
        return taken[math.ceil(share * len(taken)) - 1] if taken else None

    return Way(
        awaited=pair[0],
        of=pair[1],
        declared=declared,
        flows=len(taken),
        median=at(0.5),
        p99=at(0.99),
        longest=at(1.0),
    )


def _at(counts: Sequence[int], share: float) -> timedelta:
    return timedelta(seconds=histograms.quantile(counts, share) or 0.0)
