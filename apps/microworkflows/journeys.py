"""The journey of one flow: each of its events, with its emitter, its receivers, the time taken and any failures."""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from microworkflows import conf, flows, heartbeats, masking, registry, subjects, times, topology
from microworkflows.cloudevents import CloudEvent, Metadata, context_of, has_data
from microworkflows.errors import InvalidSubjectError
from microworkflows.models import DUE_AT_ONCE, Hold, InboxEvent, OutboxEvent, purge
from microworkflows.subjects import About, Subject

MOST_EVENTS = 200
"""Number of events of a flow that are read, from its first: a page, and the query behind it, must have an end."""

MOST_FLOWS = 50
"""Number of flows that a name or a key finds, the newest first."""

_MOST_DELIVERIES = 10 * MOST_EVENTS
_LEAST_FAR = (
    OutboxEvent.Status.CANCELLED,
    OutboxEvent.Status.SCHEDULED,
    OutboxEvent.Status.PENDING,
    OutboxEvent.Status.REJECTED,
    OutboxEvent.Status.UNHEARD,
    OutboxEvent.Status.RELAYED,
)
_NEVER_PURGED = timedelta(days=1)
"""Age up to which nobody purges what is done, so that what is not here has never been."""


class RelayStatus(StrEnum):
    """Progress of an event on its way to the broker."""

    PENDING = "pending"
    RELAYED = "relayed"
    UNHEARD = "unheard"
    """The broker had no queue for it."""
    REJECTED = "rejected"
    """The broker refuses it for good."""
    SCHEDULED = "scheduled"
    """A timer that is not due yet."""
    CANCELLED = "cancelled"
    """A timer that an event of the flow has cancelled, or will have when it is due."""
    FOREIGN = "foreign"
    """Another service's outbox relayed it; it is known here because it was received."""
    PURGED = "purged"
    """It is so old that its row was purged; it is known here because it was received."""


class DeliveryStatus(StrEnum):
    """Progress of an event on its way into one microworkflow."""

    EXPECTED = "expected"
    HANDLED = "handled"
    WAITING = "waiting"
    """It failed and is tried again."""
    PARKED = "parked"
    """It failed for good: the inbox keeps it until somebody replays it."""
    DISMISSED = "dismissed"
    """It failed, and somebody gave it up: it was never handled, and nobody waits for it."""
    MISSED = "missed"
    """A microworkflow listens, but the broker had no queue or refused the event: until it is relayed again."""
    PURGED = "purged"
    """Nobody can tell here any more: what was done at that age was purged, and nothing else was."""
    ELSEWHERE = "elsewhere"
    """Nobody can tell here: the inbox is in another database, whose service shows its part of the journey."""


@dataclass(frozen=True, kw_only=True)
class RelayState:
    """An event's way from the outbox to the broker."""

    status: RelayStatus
    attempts: int
    """Number of times that the broker refused it."""
    error: str | None
    due_at: datetime | None
    """Time before which it is not relayed; None if it is due at once or neither pending nor scheduled."""

    @property
    def open(self) -> bool:
        """True while it is to be relayed."""
        return self.status in (RelayStatus.PENDING, RelayStatus.SCHEDULED)

    @property
    def is_due(self) -> bool:
        """True while it waits for a relay alone; between refusals, too."""
        is_overdue = self.due_at is not None and self.due_at <= datetime.now(UTC)
        return self.status is RelayStatus.PENDING or (self.status is RelayStatus.SCHEDULED and is_overdue)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event's way into one microworkflow."""

    label: str
    """The microworkflow, or the context where none of its microworkflows listens to the type."""
    status: DeliveryStatus
    mode: str
    """The context's part in the flow, in a word of the router's; empty if its own worker does the step."""
    received_at: datetime | None
    wait: timedelta | None
    """Time from recording the event to receiving it; None until received."""
    handled_at: datetime | None
    """Time of handling, after any failed attempts; None until then."""
    attempts: int
    """Number of failed attempts."""
    error: str | None
    due_at: datetime | None
    """Time of the next attempt; None if it is due at once or none is to come."""
    emitted: tuple[UUID, ...]
    """Ids of the events that the microworkflow emitted for it."""
    message_id: UUID | None
    """Primary key of the inbox row; None until received."""

    @property
    def open(self) -> bool:
        """True while something is still to come."""
        return self.status in (DeliveryStatus.EXPECTED, DeliveryStatus.WAITING)

    @property
    def failed(self) -> bool:
        """True if it goes no further by itself."""
        return self.status in (DeliveryStatus.PARKED, DeliveryStatus.MISSED)

    @property
    def unknown(self) -> bool:
        """True if nobody can tell here whether something is still to come."""
        return self.status in (DeliveryStatus.PURGED, DeliveryStatus.ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One event of a flow."""

    id: UUID
    type: str
    name: str
    """Name for people, such as ``Order accepted``."""
    emitted_by: str
    """Label of the microworkflow, or the context where the flow began or its microworkflow is unknown here."""
    recorded_at: datetime
    causation_id: str | None
    cause: str | None
    """Name of the event that caused it, where that is known."""
    hop: timedelta | None
    """Time from recording the cause to recording this event."""
    depth: int
    """Number of events of the flow that led to it, one causing the next."""
    relay: RelayState
    payload: dict[str, Any] | None
    """Data of the event; sensitive parts are masked. None if it is not kept here: a handled message keeps none."""
    deliveries: tuple[Delivery, ...]
    done: bool = False
    """True if the code that recorded it also did everything that follows, so that no delivery is expected."""

    @property
    def open(self) -> bool:
        """True while something is still to come."""
        return self.relay.open or any(delivery.open for delivery in self.deliveries)

    @property
    def failed(self) -> bool:
        """True if it needs somebody's help."""
        return any(delivery.failed for delivery in self.deliveries)

    @property
    def dismissed(self) -> int:
        """Number of its deliveries that somebody gave up."""
        return sum(delivery.status is DeliveryStatus.DISMISSED for delivery in self.deliveries)

    @property
    def unknown(self) -> bool:
        """True if of some delivery nobody can tell here."""
        return any(delivery.unknown for delivery in self.deliveries)


@dataclass(frozen=True, kw_only=True)
class Journey:
    """Everything known here about one flow."""

    correlation_id: str
    steps: tuple[Step, ...]
    """Steps in the order of their recording, and none before its cause."""
    subject: Subject | None = None
    """The object that the flow is about; None if no event of it says so."""
    cut: bool = False
    """True if the flow has more events than :data:`MOST_EVENTS`; the rest are not among the steps."""

    @property
    def open(self) -> bool:
        """True while something is still to come: something is pending, expected or waiting."""
        return any(step.open for step in self.steps)

    @property
    def settled(self) -> bool:
        """True once it is known that nothing more happens to the steps by itself."""
        return not self.open and not self.unknown

    @property
    def failed(self) -> bool:
        """True if a delivery is parked or missed, so that the flow needs somebody's help."""
        return any(step.failed for step in self.steps)

    @property
    def unknown(self) -> bool:
        """True if of some delivery nobody can tell here."""
        return any(step.unknown for step in self.steps)

    @property
    def elsewhere(self) -> bool:
        """True if some delivery is known in another database alone."""
        return any(delivery.status is DeliveryStatus.ELSEWHERE for delivery in self.deliveries)

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """The deliveries of all steps."""
        return tuple(delivery for step in self.steps for delivery in step.deliveries)

    @property
    def handled(self) -> int:
        """Number of handled deliveries."""
        return sum(delivery.status is DeliveryStatus.HANDLED for delivery in self.deliveries)

    @property
    def dismissed(self) -> int:
        """Number of deliveries that somebody gave up."""
        return sum(delivery.status is DeliveryStatus.DISMISSED for delivery in self.deliveries)

    @property
    def began_at(self) -> datetime | None:
        """Time at which its first event was recorded."""
        return min((step.recorded_at for step in self.steps), default=None)

    @property
    def duration(self) -> timedelta | None:
        """Time from the first event to the last that was recorded, received or handled; timers that were not sent do not count."""
        unsent = (RelayStatus.SCHEDULED, RelayStatus.CANCELLED)
        times = [step.recorded_at for step in self.steps if step.relay.status not in unsent]
        times += [
            time for delivery in self.deliveries if (time := delivery.handled_at or delivery.received_at)
        ]
        return max(times) - min(times) if times else None


@dataclass(frozen=True, kw_only=True)
class Absence:
    """A context that a flow waits for, though none of its workers is known to live."""

    context: str
    seen_at: datetime | None
    """Time of the last sign of life from one; None if there was none."""


def journey(correlation_id: str) -> Journey:
    """Return the journey of a flow, from this database's outbox and inbox, in two queries.

    Events of other services are part of it if they were received here. An unknown flow has no steps. A very long one
    has its first :data:`MOST_EVENTS`, and of other services' events only those that caused them.
    """
    outbox = list(OutboxEvent.objects.of_flow(correlation_id)[: MOST_EVENTS + 1])
    cut = len(outbox) > MOST_EVENTS
    outbox = outbox[:MOST_EVENTS]
    deliveries = possible_deliveries(_with_causes(outbox))
    received_here = InboxEvent.objects.of_flow(correlation_id, deliveries=deliveries)
    inbox = list(InboxEvent.objects.of_deliveries(deliveries) if cut else received_here[:_MOST_DELIVERIES])
    received: dict[UUID, list[InboxEvent]] = defaultdict(list)
    for message in inbox:
        received[message.event_id].append(message)
    recorded: dict[UUID, list[OutboxEvent]] = defaultdict(list)
    known: dict[UUID, CloudEvent] = {}
    for row in outbox:  # of a fact in several versions, the newest comes first
        recorded[row.event_id].append(row)
        known.setdefault(row.event_id, CloudEvent.from_dict(row.body))
    for message in sorted(inbox, key=lambda message: not has_data(message.body)):
        known.setdefault(message.event_id, CloudEvent.from_dict(message.body))
    with_data = recorded.keys() | {message.event_id for message in inbox if has_data(message.body)}
    caused: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for event_id, rows in recorded.items():
        caused[rows[0].causation_id or "", rows[0].workflow or ""].append(event_id)
    past, types = _Past(), _types(outbox, inbox)
    steps: dict[str, Step] = {}
    for event_id in _in_causal_order([event.meta for event in known.values()]):
        event, rows = known[event_id], recorded.get(event_id, [])
        cause = steps.get(event.meta.causation_id or "")
        steps[str(event_id)] = Step(
            id=event_id,
            type=event.meta.type,
            name=event_name(event.meta.type),
            emitted_by=(rows[0].workflow if rows else None) or event.meta.source.strip("/"),
            recorded_at=event.meta.time,
            causation_id=event.meta.causation_id,
            cause=cause.name if cause else None,
            hop=event.meta.time - cause.recorded_at if cause else None,
            depth=cause.depth + 1 if cause else 0,
            relay=(relay := _relay(event.meta, rows, past, types)),
            payload=masking.data(event.meta.type, event.data) if event_id in with_data else None,
            deliveries=()
            if relay.status in (RelayStatus.SCHEDULED, RelayStatus.CANCELLED)
            else _deliveries(event.meta, rows, received[event_id], caused, past),
            done=flows.is_left_to_nobody(event.meta.context, event.meta.mark),
        )
    return Journey(
        correlation_id=correlation_id,
        steps=tuple(steps.values()),
        subject=next((event.meta.subject for event in known.values() if event.meta.subject), None),
        cut=cut,
    )


def timers(correlation_id: str) -> tuple[Step, ...]:
    """Return the timers of this database that a flow waits for; one query if there are none."""
    if not OutboxEvent.objects.of_flow(correlation_id).filter(status=OutboxEvent.Status.SCHEDULED).exists():
        return ()
    steps = journey(correlation_id).steps
    return tuple(step for step in steps if step.relay.status is RelayStatus.SCHEDULED)


def flows_about(term: str) -> list[str]:
    """Return the ids of the flows about an object with this name, in upper or lower case, or with this key; newest first.

    It finds the flows that began in this database, at most :data:`MOST_FLOWS` by name and as many by key.
    """
    outbox = OutboxEvent.objects
    named = outbox.beginning_with_name(term)[:MOST_FLOWS]
    keyed = outbox.beginning_with_key(term)[:MOST_FLOWS]
    return list(dict.fromkeys(row.correlation_id for row in (*named, *keyed)))


def flow_about(about: About) -> str | None:
    """Return the id of the newest flow about this very object; None if none began in this database."""
    try:
        subject = subjects.of(about)
    except InvalidSubjectError:
        return None  # by the same rule, none was recorded
    begun = OutboxEvent.objects.beginning_with_key(subject.key)
    newest = begun.filter(headers__subject__kind=subject.kind).first()
    return newest.correlation_id if newest else None


def absences(journey: Journey) -> tuple[Absence, ...]:
    """Return the contexts that the flow waits for in vain, in one query if it waits at all.

    It waits for the relay of the context of an event that is pending, or of a timer that is due, and for the worker of each open
    delivery. The relay runs beside the worker unless it is started by itself.
    """
    awaited = {
        context_of(step.type)
        for step in journey.steps
        if step.relay.is_due and context_of(step.type) in registry.contexts()
    }
    awaited |= {context_of(each.label) for each in journey.deliveries if each.open and not each.mode}
    if not awaited:
        return ()
    seen = heartbeats.last_seen()
    alive = {
        context
        for queue, last in seen.items()
        if last.is_alive
        for context in topology.contexts_served_by(queue)
    }
    return tuple(
        Absence(context=context, seen_at=seen[context].at if context in seen else None)
        for context in sorted(awaited - alive)
    )


def pauses(correlation_id: str, journey: Journey, in_force: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return those of the holds in force that keep a flow back, or a microworkflow that it waits for."""
    awaited = [delivery.label for delivery in journey.deliveries if delivery.open]
    return tuple(
        hold
        for hold in in_force
        if hold.holds("", flow=correlation_id)
        or any(hold.holds(label, flow=correlation_id) for label in awaited)
    )


def is_paused(journey: Journey, in_force: Collection[Hold]) -> bool:
    """Return True if a flow waits for nothing but the end of holds."""
    awaited = [delivery.label for delivery in journey.deliveries if delivery.open]
    if not awaited or any(step.relay.is_due for step in journey.steps):
        return False
    return all(any(hold.holds(each, flow=journey.correlation_id) for hold in in_force) for each in awaited)


def event_name(event_type: str) -> str:
    """Return a type's name for people: ``Order accepted`` for ``orders.order_accepted.v1``, later versions marked."""
    _, _, fact = event_type.rpartition(".v")[0].rpartition(".")
    version = event_type.rpartition(".v")[2]
    name = (fact or event_type).replace("_", " ").capitalize()
    return name if not fact or version == "1" else f"{name} (v{version})"


def human_duration(duration: timedelta) -> str:
    """Return a duration for people: ``21 ms``, ``1.24 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    seconds = max(duration.total_seconds(), 0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def possible_deliveries(event_ids: Collection[UUID]) -> set[tuple[str, UUID]]:
    """Return the keys under which events may have been received here; the inbox has an index on them."""
    consumers = {workflow.label for workflow in registry.workflows()} | set(registry.contexts())
    return {(consumer, event_id) for event_id in event_ids for consumer in consumers}


def _with_causes(outbox: Sequence[OutboxEvent]) -> set[UUID]:
    event_ids = {event.event_id for event in outbox}
    for event in outbox:
        try:
            event_ids.add(UUID(event.causation_id or ""))
        except ValueError:
            continue  # a flow's first event, or a foreign cause whose id is not a UUID and was never received here
    return event_ids


def _in_causal_order(events: Iterable[Metadata]) -> list[UUID]:
    """Return the ids in the order of time, but none before its cause, even if the machines' clocks disagree."""
    known = {str(event.id): event for event in events}
    effects: dict[str, list[Metadata]] = defaultdict(list)
    ready: list[tuple[datetime, UUID]] = []
    for event in known.values():
        if event.causation_id in known and event.causation_id != str(event.id):
            effects[event.causation_id or ""].append(event)
        else:
            ready.append((event.time, event.id))
    heapq.heapify(ready)
    ordered = []
    while ready:
        _, event_id = heapq.heappop(ready)
        ordered.append(event_id)
        for effect in effects[str(event_id)]:
            heapq.heappush(ready, (effect.time, effect.id))
    return ordered


class _Past:
    """Tells of what is not here whether it may have been; each question that needs a query is asked once, if at all."""

    @cached_property
    def _purged_before(self) -> datetime:
        """Time before which what is done may have been purged: by the note of the last purge, else by the retention. Never the last day."""
        a_day_ago = datetime.now(UTC) - _NEVER_PURGED
        if (last := purge.last()) is None:
            return min(datetime.now(UTC) - timedelta(days=conf.current().retention_days), a_day_ago)
        return min(times.aware(last.before), a_day_ago)

    @cached_property
    def _elsewhere(self) -> Collection[str]:
        return flows.router.contexts_elsewhere()

    def may_have(self, event: Metadata, rows: Sequence[OutboxEvent]) -> bool:
        """Return True if rows of this event may have been purged: those of its inbox go after that of its outbox."""
        return not rows and event.time < self._purged_before

    def is_elsewhere(self, context: str) -> bool:
        """Return True if the context's inbox is in another database."""
        return context in self._elsewhere


def _types(outbox: Iterable[OutboxEvent], inbox: Iterable[InboxEvent]) -> set[str]:
    """Return the types of what has happened in a flow: of what was recorded, timers not due yet left out, or received."""
    timers = (OutboxEvent.Status.SCHEDULED, OutboxEvent.Status.CANCELLED)
    return {row.type for row in outbox if row.status not in timers} | {message.type for message in inbox}


def _relay(event: Metadata, rows: Sequence[OutboxEvent], past: _Past, types: Collection[str]) -> RelayState:
    """Return the way of an event to the broker; of several versions, of the one that is least far.

    ``types`` are those of the flow's events. A timer that one of them cancels is cancelled, though its row says so only once it is due.
    """
    if not rows:
        is_ours = event.type in registry.announced() and not past.is_elsewhere(event.context)
        purged = is_ours and past.may_have(event, rows)
        status = RelayStatus.PURGED if purged else RelayStatus.FOREIGN
        return RelayState(status=status, attempts=0, error=None, due_at=None)
    row = min(rows, key=lambda row: _LEAST_FAR.index(OutboxEvent.Status(row.status)))
    status = RelayStatus(OutboxEvent.Status(row.status).label)
    if status is RelayStatus.SCHEDULED and not row.unless.isdisjoint(types):
        status = RelayStatus.CANCELLED
    to_come = status in (RelayStatus.PENDING, RelayStatus.SCHEDULED)
    return RelayState(
        status=status,
        attempts=row.attempts,
        error=row.error if status is not RelayStatus.RELAYED else None,
        due_at=_future(row.due_at) if to_come else None,
    )


def _deliveries(
    event: Metadata,
    rows: Sequence[OutboxEvent],
    received: Sequence[InboxEvent],
    caused: dict[tuple[str, str], list[UUID]],
    past: _Past,
) -> tuple[Delivery, ...]:
    messages = {message.label: message for message in received}
    versions: list[tuple[str, OutboxEvent | None]] = [(row.type, row) for row in rows]
    versions = versions or [(event.type, None)]
    expected = {label: row for type, row in versions for label in _listeners(type, row, received)}
    labels = messages.keys() | {label for label in expected if not flows.is_left_to_nobody(label, event.mark)}
    deliveries = []
    for label in sorted(labels):
        message = messages.get(label)
        status = (
            DeliveryStatus(InboxEvent.Status(message.status).label)
            if message
            else _without_a_message(label, event, expected[label], past)
        )
        handled = status is DeliveryStatus.HANDLED
        deliveries.append(
            Delivery(
                label=label,
                status=status,
                mode=_mode(label, event, message),
                received_at=message.received_at if message else None,
                wait=message.received_at - event.time if message else None,
                handled_at=message.handled_at if message and handled else None,
                attempts=message.attempts if message else 0,
                error=message.error if message and not handled else None,
                due_at=_future(message.due_at) if message and status is DeliveryStatus.WAITING else None,
                emitted=tuple(caused.get((str(event.id), label), ())),
                message_id=message.pk if message else None,
            )
        )
    return tuple(deliveries)


def _without_a_message(label: str, event: Metadata, row: OutboxEvent | None, past: _Past) -> DeliveryStatus:
    if row is not None and row.status in (OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED):
        return DeliveryStatus.MISSED
    if past.is_elsewhere(context_of(label)):
        return DeliveryStatus.ELSEWHERE
    purged = past.may_have(event, [] if row is None else [row])
    return DeliveryStatus.PURGED if purged else DeliveryStatus.EXPECTED


def _listeners(event_type: str, row: OutboxEvent | None, received: Sequence[InboxEvent]) -> Collection[str]:
    """Return the labels of the microworkflows to which a version of an event is due: those that listened when it was recorded.

    Of another service's event, it is those that listened when their context received it. Today's listen to what is still
    pending, and to whatever no row tells of. A context that has received an event under another label than the one that
    listened has renamed its microworkflow.
    """
    present = registry.listening(event_type)
    beside: dict[str, set[str]] = defaultdict(set)
    for message in received:
        beside[message.context] |= message.listeners
    if row is None:
        return {
            label
            for label in present
            if (context := context_of(label)) not in beside or label in beside[context]
        }
    if row.listeners is None or row.status == OutboxEvent.Status.PENDING:
        return present
    return {label for label in row.listeners if label in present or context_of(label) not in beside}


def _mode(label: str, event: Metadata, message: InboxEvent | None) -> str:
    """Return the mode in which a message was received, or in which it will be by the flow's mark."""
    if message is not None:
        return message.mode
    return flows.mode(context_of(label), event.mark)


def _future(due_at: datetime) -> datetime | None:
    return None if due_at == DUE_AT_ONCE else due_at
