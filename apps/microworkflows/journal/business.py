"""The business view: flows begun, finished by outcome and overdue over time, how far they come, and how long they take."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Case, Count, DurationField, ExpressionWrapper, F, IntegerField, Min, Value, When
from django.db.models.functions import Trunc
from django.utils.translation import gettext as _

from microworkflows import times
from microworkflows.journal.models import Event, Flow
from microworkflows.journal.windows import Window
from microworkflows.journeys import event_name

MOST_FLOWS: Final = 10_000
"""Flows of which the funnel tells, the newest of the window."""

MOST_COUNTED: Final = 500_000
"""Flows that are counted over time: where more began or finished in a window, only its newest part is looked at."""

_MINUTE, _HOUR, _DAY = 60, 3600, 24 * 3600
LIMITS: Final[Sequence[float]] = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 6 * _HOUR, _DAY, 3 * _DAY),
)
"""Seconds at which one bar of the times to finish ends and the next begins."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Numbers of flows over time, one for each minute or hour of the window."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the funnel."""

    type: str
    name: str
    flows: int
    """Flows in which an event of the type happened."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of the times to finish; the last one has no end."""

    begin: float
    end: float | None
    """Seconds."""
    flows: int


@dataclass(frozen=True, kw_only=True)
class Business:
    """Everything that the page shows."""

    window: Window
    """The window, or its newest part, where it holds too many flows."""
    cut: bool
    """True if it is a part."""
    times: tuple[datetime, ...]
    """Beginning of each minute or hour of the window; the first and the last may be cut off by it."""
    begun: Series
    finished: tuple[Series, ...]
    """By outcome."""
    overdue: Series
    """By the time at which the deadline passed."""
    funnel: tuple[Stage, ...]
    looked_at: int
    """Flows of which the funnel tells."""
    whole: bool
    """True if these are all that began in the window."""
    durations: tuple[Bar, ...]
    """From the first that counts any to the last."""


def business(window: Window) -> Business:
    """Return the business view of a window."""
    asked, window = window, _newest_part(window)
    bars = _times(window)
    outcomes, durations = _finished(window)
    stages, looked_at = _funnel(window)
    return Business(
        window=window,
        cut=window != asked,
        times=bars,
        begun=_series(_("begun"), _over_time(window, "began_at"), bars),
        finished=tuple(_series(name or _("no outcome"), outcomes[name], bars) for name in sorted(outcomes)),
        overdue=_series(_("overdue"), _over_time(window, "overdue_at"), bars),
        funnel=stages,
        looked_at=looked_at,
        whole=looked_at < MOST_FLOWS,
        durations=_durations(durations),
    )


def _newest_part(window: Window) -> Window:
    """Return a window in which no more flows began, and no more finished, than are counted."""
    for column, state in (("began_at", {}), ("since", {"state": Flow.State.DONE})):
        newest = _within(window, column).filter(**state).order_by(f"-{column}").values_list(column, flat=True)
        if beyond := list(newest[MOST_COUNTED : MOST_COUNTED + 1]):
            window = replace(window, since=times.aware(beyond[0]))
    return window


def _times(window: Window) -> tuple[datetime, ...]:
    step = timedelta(minutes=1) if window.bar == "minute" else timedelta(hours=1)
    at = window.since.astimezone(UTC).replace(second=0, microsecond=0)
    at = at if window.bar == "minute" else at.replace(minute=0)
    found = []
    while at <= window.until:
        found.append(at)
        at += step
    return tuple(found)


def _over_time(window: Window, column: str) -> Counter[datetime]:
    rows = _within(window, column).values_list(_bar(window, column)).annotate(Count("pk"))
    return Counter({_as_utc(at): count for at, count in rows.order_by()})


def _finished(window: Window) -> tuple[dict[str, Counter[datetime]], Counter[int]]:
    """Return the flows that finished in the window, over time by outcome and by duration, in one query on an index."""
    took = ExpressionWrapper(F("since") - F("began_at"), output_field=DurationField())
    limits = [When(took__lt=timedelta(seconds=limit), then=Value(n)) for n, limit in enumerate(LIMITS)]
    bucket = Case(*limits, default=Value(len(LIMITS)), output_field=IntegerField())
    done = _within(window, "since").filter(state=Flow.State.DONE)
    rows = (
        done.annotate(took=took).values_list(_bar(window, "since"), "outcome", bucket).annotate(Count("pk"))
    )
    outcomes: dict[str, Counter[datetime]] = {}
    durations: Counter[int] = Counter()
    for at, outcome, number, count in rows.order_by():
        outcomes.setdefault(outcome, Counter())[_as_utc(at)] += count
        durations[number] += count
    return outcomes, durations


def _funnel(window: Window) -> tuple[tuple[Stage, ...], int]:
    newest = _within(window, "began_at").order_by("-began_at").values("pk")[:MOST_FLOWS]
    rows = Event.objects.filter(flow__in=newest).order_by().values_list("type")
    reached = rows.annotate(flows=Count("flow", distinct=True), depth=Min("hops"))
    looked_at = newest.count()
    ordered = sorted(reached, key=lambda row: (row[2], -row[1], row[0]))
    stages = tuple(Stage(type=each, name=event_name(each), flows=flows) for each, flows, _ in ordered)
    return stages, looked_at


def _durations(counts: Counter[int]) -> tuple[Bar, ...]:
    if not counts:
        return ()
    ends: list[float | None] = [*LIMITS, None]
    return tuple(
        Bar(begin=LIMITS[number - 1] if number else 0.0, end=ends[number], flows=counts[number])
        for number in range(min(counts), max(counts) + 1)
    )


def _within(window: Window, column: str) -> Any:
    bounds = {
        f"{column}__gte": times.stored(window.since),
        f"{column}__lte": times.stored(window.until),
    }
    return Flow.objects.filter(**bounds)


def _bar(window: Window, column: str) -> Trunc:
    return Trunc(column, window.bar, tzinfo=UTC if settings.USE_TZ else None)


def _as_utc(at: datetime) -> datetime:
    return times.aware(at).astimezone(UTC)


def _series(name: str, counts: Counter[datetime], bars: Sequence[datetime]) -> Series:
    sums = [0] * len(bars)
    for at, count in counts.items():
        sums[max(0, bisect_right(bars, at) - 1)] += count
    return Series(name=name, counts=tuple(sums))
