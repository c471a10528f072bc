"""Both sides of a context that is live for some flows: what its own worker did, beside what the monolith did inline.

Both are read from this database's inbox, so a context that has moved away has none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles
from typing import Any

from django.db.models import TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from microworkflows import ids, registry, times
from microworkflows.cutover.models import ModeChange
from microworkflows.cutover.stamps import Mode
from microworkflows.models import CorrelationOf, Header, InboxEvent, OutboxEvent

MOST = 10_000
"""Number of steps that are looked at, the newest ones."""

_AT_ONCE = 1_000


@dataclass(frozen=True, kw_only=True)
class Side:
    """What was done of a context in one mode."""

    flows: int
    failing: int
    """Number of messages that wait for another attempt or are parked."""
    p50: float | None
    """Seconds from an event's recording to the end of its step, for half of the steps; None if none has ended."""
    p95: float | None
    ended: int | None
    """Number of its flows that have reached a final state; None if no event declares an outcome, so that nobody can tell."""

    @property
    def ended_percent(self) -> int | None:
        """The same in percent of the flows."""
        return None if self.ended is None or not self.flows else 100 * self.ended // self.flows


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Both sides since the context went live."""

    since: datetime
    live: Side
    inline: Side
    cut: bool
    """True if there are more than the :data:`MOST` steps that were looked at."""

    @property
    def both(self) -> tuple[Side, Side]:
        """The two in the order in which they are shown."""
        return self.live, self.inline


def of(context: str) -> Sides | None:
    """Return both sides of a context since it last went live from another mode; None if it never did."""
    to_live = (
        ModeChange.objects.filter(context=context, to_mode=Mode.LIVE).exclude(from_mode=Mode.LIVE).first()
    )
    if to_live is None:
        return None
    rows: Any = InboxEvent.objects.many().of_context(context).filter(pk__gte=ids.lowest(to_live.changed_at))
    steps = list(
        rows.annotate(
            flow=CorrelationOf("body"),
            mode=KeyTextTransform(Header.MODE, "headers"),
            later=KeyTextTransform(Header.HANDLED_AT, "headers"),
            recorded=Cast(KeyTextTransform("time", "body"), TextField()),
        )
        .order_by("-pk")
        .values_list("flow", "mode", "status", "added", "later", "recorded")[: MOST + 1]
    )
    return Sides(
        since=to_live.changed_at,
        live=_side([step for step in steps[:MOST] if not step[1]]),
        inline=_side([step for step in steps[:MOST] if step[1]]),
        cut=len(steps) > MOST,
    )


def _side(steps: Iterable[tuple[Any, ...]]) -> Side:
    flows, seconds, failing = set(), [], 0
    for flow, _, status, added, later, recorded in steps:
        flows.add(flow)
        failing += status in (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED)
        if status == InboxEvent.Status.HANDLED and recorded:
            handled_at = datetime.fromisoformat(later) if later else times.aware(added)
            seconds.append((handled_at - datetime.fromisoformat(recorded)).total_seconds())
    return Side(
        flows=len(flows),
        failing=failing,
        p50=_percentile(seconds, 50),
        p95=_percentile(seconds, 95),
        ended=_ended(flows),
    )


def _percentile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 6)


def _ended(flows: Iterable[str]) -> int | None:
    types = list(registry.outcomes())
    if not types:
        return None
    left, ended = list(flows), set[str]()
    for start in range(0, len(left), _AT_ONCE):
        rows = OutboxEvent.objects.of_flow(*left[start : start + _AT_ONCE]).filter(destination__in=types)
        ended |= set(rows.order_by().values_list(CorrelationOf("body"), flat=True))
    return len(ended)
