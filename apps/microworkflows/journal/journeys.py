"""The journey of a flow across services, read from the journal's tables in five statements; pages and commands show it.

Times are put right by causation, see :mod:`microworkflows.journal.moments`; what is expected, and what stands in its way, is
worked out in :mod:`microworkflows.journal.expectations`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.translation import gettext as _

from microworkflows import flows, times
from microworkflows.cloudevents import context_of
from microworkflows.journal import bars, expectations, models, presence
from microworkflows.journal.bars import Act, Bar
from microworkflows.journal.expectations import Expectation, emits, listeners
from microworkflows.journal.moments import Moments
from microworkflows.journal.presence import Presence
from microworkflows.journeys import event_name

MOST_EVENTS = 2_000
"""Number of events of a flow that are read, from its first: a page must have an end."""

_MOST_DELIVERIES = 10 * MOST_EVENTS


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event's way into one consumer."""

    consumer: str
    """Label of the microworkflow, or of the context where none of its microworkflows listens."""
    context: str
    status: str
    """``expected``, ``running``, ``handled``, ``waiting``, ``parked``, ``dismissed`` or ``missed``."""
    mode: str
    """The context's part in the flow, in a word of the router's; empty if its own worker does the step."""
    received_at: datetime | None
    handled_at: datetime | None
    attempts: int
    """Number of the last attempt; 0 if none has begun."""
    error: str
    due_at: datetime | None
    worker: str
    """Name of the process that had it last; empty if unknown."""
    bars: tuple[Bar, ...]
    acts: tuple[Act, ...]

    @property
    def open(self) -> bool:
        """True while something is still to come."""
        return self.status in ("expected", "running", "waiting")

    @property
    def failed(self) -> bool:
        """True if it goes no further by itself."""
        return self.status in ("parked", "missed")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a flow."""

    id: UUID
    type: str
    """Empty if only its id is known: its relay has not told of it."""
    name: str
    """Name for people, such as ``Order accepted``."""
    context: str
    """The context that announced it."""
    emitted_by: str
    """Label of the microworkflow, or of the context where the flow began."""
    causation_id: str
    recorded_at: datetime
    relayed_at: datetime | None
    status: str
    """``pending``, ``untold``, ``relayed``, ``unheard`` or ``rejected``."""
    error: str
    depth: int
    """Number of events of the flow that led to it, one causing the next."""
    deliveries: tuple[Delivery, ...]
    mark: str = ""
    """Mark of its flow; empty if that is live everywhere."""
    types: tuple[str, ...] = ()
    """Types of all versions under which it was recorded, the newest first."""


@dataclass(frozen=True, kw_only=True)
class Journey:
    """Everything that the journal knows of one flow."""

    correlation_id: str
    kind: str
    key: str
    title: str
    """Name of what the flow is about, or its key, or the correlation id."""
    state: str
    """``on its way``, ``failed``, ``done``, ``unknown`` or ``overdue``."""
    since: datetime
    outcome: str
    began_at: datetime
    ended_at: datetime
    """Time of the last thing that happened."""
    events: tuple[Event, ...]
    """None before its cause."""
    expected: tuple[Expectation, ...]
    """What is still to come, and what stands in its way; the most urgent first."""
    shifts: Mapping[str, timedelta]
    """By host, what was added to its times so that no effect precedes its cause."""
    missing: tuple[str, ...]
    """Names of processes of whose notices some are missing during the flow."""
    contexts: Mapping[str, Presence]
    cut: bool = False
    """True if the flow has more events than :data:`MOST_EVENTS`."""

    @property
    def ended(self) -> bool:
        """True once nothing more is known to come."""
        return self.state == "done" and not self.expected

    @property
    def deliveries(self) -> Iterator[Delivery]:
        """The deliveries of all events."""
        return (delivery for event in self.events for delivery in event.deliveries)


def state_word(flow: models.Flow) -> str:
    """Return a flow's state in a word: its label, or ``overdue`` if it misses a deadline and nothing worse has happened.

    A flow that came to rest short of the event that was due is overdue, too: what has an outcome misses no deadline.
    """
    state = models.Flow.State(flow.state)
    is_late = flow.overdue_at is not None and state is not models.Flow.State.FAILED
    return "overdue" if is_late else str(state.label)


def journey(correlation_id: str, *, now: datetime | None = None) -> Journey | None:
    """Return the journey of a flow; None if the journal does not know it.

    Five statements, whatever the number of its events; one more counts who waits with it where a worker is missing.
    """
    now = now or times.now()
    rows = list(
        models.Event.objects.filter(flow__correlation_id=correlation_id)
        .select_related("flow", "relay")
        .order_by("recorded_at", "pk")[: MOST_EVENTS + 1]
    )
    if not rows:
        return None
    flow, cut, rows = rows[0].flow, len(rows) > MOST_EVENTS, rows[:MOST_EVENTS]
    deliveries: dict[UUID, list[models.Delivery]] = defaultdict(list)
    for delivery in (
        models.Delivery.objects.filter(event__flow=flow)
        .select_related("process")
        .order_by("received_at", "pk")[:_MOST_DELIVERIES]
    ):
        deliveries[delivery.event_id].append(delivery)
    failures: dict[int, list[models.Attempt]] = defaultdict(list)
    for attempt in (
        models.Attempt.objects.filter(delivery__event__flow=flow)
        .select_related("process")
        .order_by("ended_at", "number", "pk")[:_MOST_DELIVERIES]
    ):
        failures[attempt.delivery_id].append(attempt)
    during = (flow.began_at, now if flow.state != models.Flow.State.DONE else flow.last_at)
    seen = {each.context: each for each in presence.presences(now=now, during=during, flows=False)}
    return _assembled(flow, rows, deliveries, failures, seen=seen, now=now, cut=cut)


def _assembled(
    flow: models.Flow,
    rows: Sequence[models.Event],
    deliveries: Mapping[UUID, Sequence[models.Delivery]],
    failures: Mapping[int, Sequence[models.Attempt]],
    *,
    seen: Mapping[str, Presence],
    now: datetime,
    cut: bool,
) -> Journey:
    moments = Moments(rows, deliveries, failures)
    expects = flow.state != models.Flow.State.DONE
    depths: dict[str, int] = {}
    events: list[Event] = []
    for row in moments.in_causal_order():
        depths[str(row.pk)] = depths.get(row.causation_id, -1) + 1
        made = [
            _delivery(row, each, failures.get(each.pk, ()), moments) for each in deliveries.get(row.pk, ())
        ]
        if expects:
            made += _expected(row, made, moments, seen)
        events.append(_event(row, moments, depths[str(row.pk)], tuple(made)))
    if expects and not cut:
        events += _untold(events, deliveries, seen)
    found = expectations.of_flow(flow, events, seen=seen, now=now) if expects else ()
    last = [flow.last_at, *(event.recorded_at for event in events)]
    last += [
        bar.ended_at or bar.began_at for event in events for each in event.deliveries for bar in each.bars
    ]
    return Journey(
        correlation_id=flow.correlation_id,
        kind=flow.kind,
        key=flow.key,
        title=flow.name or (f"{flow.kind}:{flow.key}" if flow.key else flow.correlation_id),
        state=state_word(flow),
        since=flow.since,
        outcome=flow.outcome,
        began_at=min((event.recorded_at for event in events), default=flow.began_at),
        ended_at=max(last),
        events=tuple(events),
        expected=found,
        shifts=moments.shifts,
        missing=tuple(sorted({name for each in seen.values() for name in each.missing})),
        contexts=seen,
        cut=cut,
    )


def _event(row: models.Event, moments: Moments, depth: int, deliveries: tuple[Delivery, ...]) -> Event:
    return Event(
        id=row.pk,
        type=row.type,
        name=event_name(row.type),
        context=context_of(row.type),
        emitted_by=row.emitted_by or context_of(row.type),
        causation_id=row.causation_id,
        recorded_at=moments.recorded_at(row),
        relayed_at=moments.relayed_at(row),
        status=str(models.Event.Status(row.status).label),
        error=row.error,
        depth=depth,
        deliveries=deliveries,
        mark=row.mark,
        types=tuple(row.types),
    )


def _delivery(
    event: models.Event, row: models.Delivery, failures: Sequence[models.Attempt], moments: Moments
) -> Delivery:
    drawn, acts = bars.of_delivery(
        row,
        failures,
        recorded_at=moments.recorded_at(event),
        relayed_at=moments.relayed_at(event),
        corrected=moments.corrected,
    )
    status = models.Delivery.Status(row.status)
    handled = status is models.Delivery.Status.HANDLED
    return Delivery(
        consumer=row.consumer,
        context=context_of(row.consumer),
        status=str(status.label),
        mode=row.mode,
        received_at=moments.received_at(event, row),
        handled_at=drawn[-1].ended_at if handled and drawn else None,
        attempts=row.attempts,
        error="" if handled else row.error,
        due_at=row.due_at if status is models.Delivery.Status.WAITING else None,
        worker=row.process.name if row.process else "",
        bars=drawn,
        acts=acts,
    )


def _expected(
    event: models.Event, made: Sequence[Delivery], moments: Moments, seen: Mapping[str, Presence]
) -> Iterator[Delivery]:
    """Yield the deliveries to declared listeners that have not begun, unless the flow's mark leaves them to nobody."""
    known = {each.consumer for each in made}
    missed = event.status in (models.Event.Status.UNHEARD, models.Event.Status.REJECTED)
    relayed_at = moments.relayed_at(event)
    for label in sorted(listeners(event.types, seen, at=event.recorded_at) - known):
        context, mark = context_of(label), event.mark or None
        if flows.is_left_to_nobody(label, mark):
            continue
        waiting = () if missed else bars.expected(moments.recorded_at(event), relayed_at)
        yield Delivery(
            consumer=label,
            context=context,
            status="missed" if missed else "expected",
            mode=flows.mode(context, mark),
            received_at=None,
            handled_at=None,
            attempts=0,
            error="",
            due_at=None,
            worker="",
            bars=waiting,
            acts=(),
        )


def _untold(
    events: Sequence[Event],
    deliveries: Mapping[UUID, Sequence[models.Delivery]],
    seen: Mapping[str, Presence],
) -> Iterator[Event]:
    """Yield the events that a microworkflow has emitted, and of which nobody has told yet: they wait for their relay."""
    known = {str(event.id) for event in events}
    for event in events:
        emitted = {row.consumer: row.emitted for row in deliveries.get(event.id, ())}
        for each in event.deliveries:
            for event_id in emitted.get(each.consumer, ()):
                if event_id in known:
                    continue
                known.add(event_id)
                types = emits(each.consumer, seen)
                type = types[0] if len(types) == 1 else ""
                yield Event(
                    id=UUID(event_id),
                    type=type,
                    name=event_name(type) if type else _("An event"),
                    context=each.context,
                    emitted_by=each.consumer,
                    causation_id=str(event.id),
                    recorded_at=each.handled_at or each.received_at or event.recorded_at,
                    relayed_at=None,
                    status="pending",
                    error="",
                    depth=event.depth + 1,
                    deliveries=(),
                )
