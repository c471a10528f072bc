"""The graph of the process: what contexts declare (who announces, hears, emits), and beside it what the journal saw of it.

The map draws it. Rates, failures and durations are those of the journal's minutes in a window; what waits is what waits now. A number
that nobody can know, because no process of the context was heard of, is None, and never 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from django.db import connections, router
from django.db.models import Count, Min, Q, Sum

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal import histograms, presence
from microworkflows.journal.models import Delivery, Flow, Minute
from microworkflows.journal.presence import Life, Presence, Seen
from microworkflows.journal.windows import Window

Declared = Mapping[str, Any]
"""A row's :attr:`Context.declarations`."""

MOST_WAITING: Final = 5_000
"""Flows of each state, the oldest, of which it is looked at whom they wait for."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What waits now for one consumer."""

    flows: int = 0
    """Flows in which it has to act next."""
    more: bool = False
    """True if there may be more: too many flows are on their way to look at all."""
    since: datetime | None = None
    """Since when the oldest of them waits."""
    retried: int = 0
    """Deliveries that failed, and are tried again."""
    parked: int = 0
    """Deliveries that failed for good."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """An edge: events of a type go to a consumer."""

    type: str
    consumer: str
    """Label of a microworkflow, or of a context where none of its microworkflows listens."""
    declared: bool
    handled: int | None
    """Deliveries handled in the window; None: unknown."""
    failed: int | None
    """Attempts that failed in the window; None: unknown."""
    parked: int | None
    """Deliveries parked in the window; None: unknown."""
    p50: float | None
    p95: float | None
    """Seconds from recording to handling that half, and 95 of 100, stayed below; None: unknown, or nothing was handled."""
    waiting: Waiting

    @property
    def observed(self) -> bool:
        """True if something came this way in the window."""
        return bool(self.handled or self.failed or self.parked)


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """An event type, and where it comes from."""

    type: str
    sources: tuple[str, ...]
    """Labels of the microworkflows that may emit it; empty: flows begin with it."""
    declared: bool
    relayed: int | None
    """Events relayed in the window; None: unknown."""
    outcome: str = ""
    """Outcome of the flows that end with it."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Everything that the map shows."""

    window: Window
    contexts: Mapping[str, Presence]
    announcements: tuple[Announcement, ...]
    hearings: tuple[Hearing, ...]
    missing: tuple[str, ...] = ()
    """Names of processes of whose notices some are missing from the window: the numbers may be too low."""
    heard_at: datetime | None = None
    """When the journal heard of any process last; None: never."""


@dataclass(kw_only=True)
class _Sums:
    """Sums of the minutes of one edge."""

    count: int = 0
    failed: int = 0
    parked: int = 0
    hops: list[int] = field(default_factory=list)


def graph(window: Window) -> Graph:
    """Return the graph as declared now, with what was observed in a window."""
    period = (window.since, window.until)
    seen = presence.presences(now=window.until, during=period, flows=False)
    contexts = {each.context: each for each in seen}
    declarations = [each.declarations for each in seen]
    sums = _sums(window)
    return Graph(
        window=window,
        contexts=contexts,
        announcements=tuple(_announcements(declarations, contexts, sums, window)),
        hearings=tuple(_hearings(declarations, contexts, sums, window)),
        missing=tuple(sorted({name for each in seen for name in each.missing})),
        heard_at=presence.last_heard(),
    )


def listeners(declarations: Iterable[Declared]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what each declared microworkflow emits, by the type that it hears and its label."""
    return {
        (each["on"], each["label"]): tuple(each["emits"])
        for declared in declarations
        for each in declared.get("workflows", ())
    }


def _announcements(
    declarations: Sequence[Declared],
    contexts: Mapping[str, Presence],
    sums: Mapping[tuple[str, str], _Sums],
    window: Window,
) -> list[Announcement]:
    declared = listeners(declarations)
    sources: dict[str, list[str]] = {}
    for (_, label), emits in declared.items():
        for each in emits:
            sources.setdefault(each, []).append(label)
    announced = {each for own in declarations for each in own.get("announces", ())}
    outcomes = {each: outcome for own in declarations for each, outcome in own.get("outcomes", {}).items()}
    heard = {event_type for event_type, _ in declared}
    types = announced | heard | {event_type for event_type, _ in sums} | set(sources)
    return [
        Announcement(
            type=each,
            sources=tuple(sorted(sources.get(each, ()))),
            declared=each in announced or each in sources,
            relayed=_known(
                sums[each, ""].count if (each, "") in sums else 0,
                contexts[context_of(each)].relay if context_of(each) in contexts else None,
                window,
            ),
            outcome=outcomes.get(each, ""),
        )
        for each in sorted(types)
    ]


def _hearings(
    declarations: Sequence[Declared],
    contexts: Mapping[str, Presence],
    sums: Mapping[tuple[str, str], _Sums],
    window: Window,
) -> list[Hearing]:
    declared, waiting = set(listeners(declarations)), _waiting()
    observed = {edge for edge in sums if edge[1]}
    found = []
    for event_type, consumer in sorted(declared | observed):
        numbers = sums.get((event_type, consumer), _Sums())
        context = contexts.get(context_of(consumer))
        worker = context.worker if context else None
        known = _known(numbers.count or numbers.failed or numbers.parked, worker, window) is not None
        found.append(
            Hearing(
                type=event_type,
                consumer=consumer,
                declared=(event_type, consumer) in declared,
                handled=numbers.count if known else None,
                failed=numbers.failed if known else None,
                parked=numbers.parked if known else None,
                p50=histograms.quantile(numbers.hops, 0.5),
                p95=histograms.quantile(numbers.hops, 0.95),
                waiting=waiting.get(consumer, Waiting(more=waiting[""].more)),
            )
        )
    return found


def _known(count: int, process: Seen | None, window: Window) -> int | None:
    """Return a count, or None if it is 0 and no process of its kind was heard of in the window: nobody can know."""
    if count:
        return count
    if process is None or process.seen_at is None:
        return None
    return 0 if process.life is Life.ALIVE or process.seen_at >= window.since else None


def _sums(window: Window) -> Mapping[tuple[str, str], _Sums]:
    """Return the sums of a window's minutes by edge; of a long window as they were at the beginning of this minute.

    A week of a busy process has hundreds of thousands of minutes, and pages ask every few seconds.
    """
    if window.until - window.since <= timedelta(hours=1):
        return _summed(window.since, window.until)
    minute = window.until.replace(second=0, microsecond=0)
    return _kept(
        connections[router.db_for_read(Minute)].alias, minute - (window.until - window.since), minute
    )


@lru_cache(maxsize=8)
def _kept(alias: str, since: datetime, until: datetime) -> Mapping[tuple[str, str], _Sums]:
    return _summed(since, until)


def forget() -> None:
    """Forget the sums kept for this minute, for tests."""
    _kept.cache_clear()


def _summed(since: datetime, until: datetime) -> dict[tuple[str, str], _Sums]:
    since, until = times.stored(since - timedelta(minutes=1)), times.stored(until)
    rows = Minute.objects.filter(at__gt=since, at__lte=until)
    totals = rows.order_by().values_list("type", "consumer")
    sums = {
        (event_type, consumer): _Sums(count=count, failed=failed, parked=parked)
        for event_type, consumer, count, failed, parked in totals.annotate(
            Sum("count"), Sum("failed"), Sum("parked")
        )
    }
    for event_type, consumer, number, count in _hops(since, until):
        hops = sums[event_type, consumer].hops
        hops.extend([0] * (number + 1 - len(hops)))
        hops[number] += count
    return sums


_HOPS: Final = {
    "postgresql": (
        "SELECT seen.type, seen.consumer, place - 1, sum(number::bigint) FROM {table} AS seen "
        "CROSS JOIN LATERAL jsonb_array_elements_text(seen.hops) WITH ORDINALITY AS bucket (number, place)"
    ),
    "sqlite": (
        "SELECT seen.type, seen.consumer, bucket.key, sum(bucket.value) FROM {table} AS seen "
        "CROSS JOIN json_each(seen.hops) AS bucket"
    ),
}


def _hops(since: datetime, until: datetime) -> list[tuple[str, str, int, int]]:
    """Return the counts of the histograms, added up where they are: type, consumer, bucket, count."""
    connection = connections[router.db_for_read(Minute)]
    adapt = connection.ops.adapt_datetimefield_value
    selected = _HOPS[connection.vendor].format(table=connection.ops.quote_name(Minute._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(
            f"{selected} WHERE seen.at > %s AND seen.at <= %s GROUP BY 1, 2, 3", [adapt(since), adapt(until)]
        )
        return [(row[0], row[1], int(row[2]), int(row[3])) for row in cursor.fetchall()]


def _waiting() -> dict[str, Waiting]:
    """Return what waits now by consumer, the oldest first where there is too much; under "", whether there was too much."""
    flows: Counter[str] = Counter()
    since: dict[str, datetime] = {}
    more = False
    for state in (Flow.State.ON_ITS_WAY, Flow.State.FAILED):
        oldest = Flow.objects.filter(state=state).order_by("began_at")
        rows = list(oldest.values_list("waiting_for", "last_at")[:MOST_WAITING])
        more = more or len(rows) == MOST_WAITING
        for labels, last_at in rows:
            for label in labels:
                flows[label] += 1
                since[label] = min(since.get(label, last_at), last_at)
    statuses = Delivery.Status
    stuck = Delivery.objects.filter(status__in=[statuses.WAITING, statuses.PARKED]).order_by()
    deliveries = {
        consumer: (retried, parked, oldest)
        for consumer, retried, parked, oldest in stuck.values_list("consumer").annotate(
            retried=Count("pk", filter=Q(status=statuses.WAITING)),
            parked=Count("pk", filter=Q(status=statuses.PARKED)),
            oldest=Min("changed_at"),
        )
    }
    found = {"": Waiting(more=more)}
    for label in {*flows, *deliveries}:
        retried, parked, oldest = deliveries.get(label, (0, 0, None))
        begun = [time for time in (since.get(label), oldest) if time is not None]
        found[label] = Waiting(
            flows=flows[label], more=more, since=min(begun, default=None), retried=retried, parked=parked
        )
    return found
