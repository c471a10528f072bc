"""Merging: the rows of some flows, as they become with what was told of them. Nothing depends on the order in which it comes."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.db import models
from django.db.models import Q

from microworkflows.journal import histograms, states, variants
from microworkflows.journal.models import Attempt, Delivery, Event, Flow, Minute, Process
from microworkflows.journal.notices import Kind
from microworkflows.journal.reading import ActTold, AttemptTold, EventTold
from microworkflows.journal.states import Declared, Silence

_OUTCOMES = {
    Kind.RELAYED: Event.Status.RELAYED,
    Kind.UNHEARD: Event.Status.UNHEARD,
    Kind.REJECTED: Event.Status.REJECTED,
}
_ENDINGS = {Kind.FAILED: Attempt.Ending.FAILED, Kind.PARKED: Attempt.Ending.PARKED}
_FINAL = (Delivery.Status.HANDLED, Delivery.Status.DISMISSED)
_AT_ONCE = 500
LARGE = 2_000
"""Number of events from which on a flow is not loaded whole each time that something is told of it."""

Change = tuple[Kind, datetime, EventTold | AttemptTold, Process | None]
"""Something told: kind, time by the collector's clock, facts, and who told it."""


class Rows:
    """Rows of the flows that were told of, with all their events and deliveries; what changes is saved together."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}
        self.large: set[int] = set()
        """Keys of flows of which only some rows are loaded, so that where they stand is worked out later."""
        self._events: dict[UUID, Event] = {}
        self._flow_of: dict[UUID, Flow] = {}
        self._deliveries: dict[UUID, dict[str, Delivery]] = defaultdict(dict)
        self._changed: dict[type[models.Model], dict[int, Any]] = defaultdict(dict)
        self._attempts: list[Attempt] = []
        self._counts: dict[tuple[datetime, str, str], dict[str, Any]] = {}

    # Loading

    def load(self, flows: Iterable[Flow], *, told_of: Collection[UUID] | None = None) -> None:
        """Load all that is known of these flows; of a large one, only these events, unless that is None."""
        found = {flow.pk: flow for flow in flows if flow.correlation_id not in self._flows}
        self._flows |= {flow.correlation_id: flow for flow in found.values()}
        large = (
            set() if told_of is None else {key for key, flow in found.items() if flow.events_count > LARGE}
        )
        self.large |= large
        wanted = Q(flow__in=list(found.keys() - large))
        if large:
            wanted |= Q(flow__in=list(large), pk__in=list(told_of or ()))
        for event in Event.objects.filter(wanted):
            self._events[event.pk], self._flow_of[event.pk] = event, found[event.flow_id]
        of_small, of_told = Q(event__flow__in=list(found.keys() - large)), Q(event__in=list(told_of or ()))
        for delivery in Delivery.objects.filter(of_small | of_told if large else of_small):
            self._deliveries[delivery.event_id][delivery.consumer] = delivery

    # Merging

    def merge(self, changes: Iterable[Change]) -> None:
        """Take in what was told; its flows are loaded."""
        for kind, at, facts, process in changes:
            if kind == Kind.RECORDED:
                self._event(cast("EventTold", facts))
            elif isinstance(facts, EventTold):
                self._merge_outcome(kind, at, facts, process)
            elif kind == Kind.HANDLED:
                self._merge_handled(at, facts, process)
            elif kind == Kind.DISMISSED:
                self._merge_dismissed(at, facts)
            elif kind in _ENDINGS:
                self._merge_failed(_ENDINGS[kind], at, facts, process)
            else:
                self._merge_running(at, facts, process)

    def act(self, told: ActTold) -> None:
        """Take in that somebody sent a parked message round again, or gave it up."""
        delivery = self._deliveries[told.event].get(told.consumer)
        if delivery is None:
            return
        is_replay = told.kind == Kind.REPLAYED
        self._attempts.append(
            Attempt(
                delivery=delivery,
                number=delivery.attempts,
                ending=Attempt.Ending.REPLAYED if is_replay else Attempt.Ending.DISMISSED,
                ended_at=told.at,
                by=told.by,
                why=told.why,
            )
        )
        # A dismissed message may be replayed all the same.
        if delivery.status != Delivery.Status.HANDLED and told.at >= delivery.changed_at:
            delivery.status = Delivery.Status.WAITING if is_replay else Delivery.Status.DISMISSED
            delivery.changed_at, delivery.due_at = told.at, None
            self._note(self._flow_of[told.event])
            self._note(delivery)

    def _merge_outcome(self, kind: Kind, at: datetime, facts: EventTold, process: Process | None) -> None:
        event = self._event(facts)
        if event.recorded_at != facts.time:
            event.recorded_at = facts.time  # by the clock of the relay's host
        event.error = facts.error or event.error
        if event.relayed_at is not None and at < event.relayed_at:
            return
        status = _OUTCOMES[kind]
        is_older = facts.type != event.type  # each version counts, and the newest leaves first
        if status == Event.Status.RELAYED and (event.status != status or is_older):
            self._count(at, facts.type, "")["count"] += 1
        event.status, event.relayed_at, event.relay = status, at, process
        self._note(event)

    def _merge_running(self, at: datetime, facts: AttemptTold, process: Process | None) -> None:
        delivery = self._delivery(facts, at)
        began = facts.began or at
        if delivery.status in _FINAL or began < delivery.changed_at:
            return
        if delivery.status == Delivery.Status.WAITING:
            delivery.attempts += 1
        delivery.status, delivery.changed_at, delivery.process = Delivery.Status.RUNNING, began, process
        delivery.due_at = None

    def _merge_handled(self, at: datetime, facts: AttemptTold, process: Process | None) -> None:
        delivery = self._delivery(facts, at)
        if delivery.status == Delivery.Status.HANDLED:
            return
        delivery.status, delivery.handled_at, delivery.changed_at = Delivery.Status.HANDLED, at, at
        delivery.due_at, delivery.error, delivery.fingerprint = None, "", ""
        delivery.emitted = facts.emitted
        self._set_attempt(delivery, facts, process)
        event = self._events[facts.event.id]
        counts = self._count(at, facts.event.type, facts.consumer)
        counts["count"] += 1
        counts["hops"] = histograms.counted((at - event.recorded_at).total_seconds(), counts["hops"])

    def _merge_dismissed(self, at: datetime, facts: AttemptTold) -> None:
        """Take in what a table tells of a message that somebody has given up."""
        delivery = self._delivery(facts, at)
        if delivery.status not in _FINAL:
            delivery.status, delivery.changed_at, delivery.due_at = Delivery.Status.DISMISSED, at, None
            delivery.attempts = facts.number or delivery.attempts

    def _merge_failed(
        self, ending: Attempt.Ending, at: datetime, facts: AttemptTold, process: Process | None
    ) -> None:
        delivery = self._delivery(facts, at)
        parked = ending == Attempt.Ending.PARKED
        status = Delivery.Status.PARKED if parked else Delivery.Status.WAITING
        self._attempts.append(
            Attempt(
                delivery=delivery,
                number=facts.number or 1,
                ending=ending,
                ended_at=at,
                duration=_duration(facts),
                error=facts.error,
                fingerprint=facts.fingerprint,
                process=process,
            )
        )
        counts = self._count(at, facts.event.type, facts.consumer)
        counts["failed"] += 1
        counts["parked"] += parked
        if delivery.status in _FINAL or at < delivery.changed_at:
            return
        delivery.status, delivery.changed_at, delivery.due_at = status, at, facts.due
        delivery.error, delivery.fingerprint = facts.error, facts.fingerprint
        self._set_attempt(delivery, facts, process)

    def _set_attempt(self, delivery: Delivery, facts: AttemptTold, process: Process | None) -> None:
        delivery.attempts = facts.number or delivery.attempts
        delivery.duration, delivery.mode, delivery.process = _duration(facts), facts.mode, process

    def _event(self, facts: EventTold) -> Event:
        flow = self._flows.get(facts.flow)
        if flow is None:
            flow = self._flows[facts.flow] = Flow(
                correlation_id=facts.flow, began_at=facts.time, last_at=facts.time, since=facts.time
            )
        if facts.about[0] and not flow.kind:
            flow.kind, flow.key, flow.name = facts.about
        if facts.trace and not flow.trace_id:
            flow.trace_id = facts.trace
        event = self._events.get(facts.id)
        if event is None:
            event = self._events[facts.id] = Event(
                id=facts.id,
                type=facts.versions[0] if facts.versions else facts.type,
                versions=list(facts.versions) or None,
                causation_id=facts.cause,
                recorded_at=facts.time,
                mark=facts.mark,
                hops=facts.hops,
            )
            self._flow_of[facts.id] = flow
            self._note(event)
        if facts.by and not event.emitted_by:
            event.emitted_by = facts.by
            self._note(event)
        self._note(self._flow_of[facts.id])
        return event

    def _delivery(self, facts: AttemptTold, at: datetime) -> Delivery:
        """Return the delivery that an attempt belongs to; a new one has begun with it."""
        event = self._event(facts.event)
        began = facts.began or (at - (_duration(facts) or timedelta()))
        delivery = self._deliveries[event.id].get(facts.consumer)
        if delivery is None:
            delivery = self._deliveries[event.id][facts.consumer] = Delivery(
                event=event,
                consumer=facts.consumer,
                status=Delivery.Status.RUNNING,
                received_at=began,
                changed_at=began,
                mode=facts.mode,
            )
        delivery.received_at = min(delivery.received_at, began)
        self._note(delivery)
        return delivery

    def _count(self, at: datetime, type: str, consumer: str) -> dict[str, Any]:
        key = at.replace(second=0, microsecond=0), type, consumer
        return self._counts.setdefault(key, {"count": 0, "failed": 0, "parked": 0, "hops": []})

    def _note(self, row: models.Model) -> None:
        self._changed[type(row)][id(row)] = row

    # Working out

    def work_out(self, declared: Declared, *, now: datetime, silences: Sequence[Silence]) -> None:
        """Work out where the flows that were told of, or all if none was, stand now; but not the large ones."""
        of_flow: dict[int, list[Event]] = defaultdict(list)
        for event_id, flow in self._flow_of.items():
            of_flow[id(flow)].append(self._events[event_id])
        for flow in self._changed[Flow].values() or self._flows.values():
            if flow.pk in self.large:
                continue
            events = sorted(of_flow[id(flow)], key=lambda event: (event.recorded_at, event.id))
            deliveries = [each for event in events for each in self._deliveries[event.id].values()]
            self._name_emitters(events, deliveries, declared)
            stands = states.work_out(events, deliveries, declared, now=now, silences=silences)
            self._set_standing(flow, events, deliveries, stands)

    def _name_emitters(
        self, events: Sequence[Event], deliveries: Sequence[Delivery], declared: Declared
    ) -> None:
        by = {emitted: each.consumer for each in deliveries for emitted in each.emitted}
        known = {str(event.id): event for event in events}
        for event in events:
            if event.emitted_by:
                continue
            cause = known.get(event.causation_id or "")
            consumer = by.get(str(event.id)) or (cause and declared.emitter(event, of=cause))
            if consumer:
                event.emitted_by = consumer
                self._note(event)

    def _set_standing(
        self, flow: Flow, events: Sequence[Event], deliveries: Sequence[Delivery], stands: states.Standing
    ) -> None:
        before = _kept(flow)
        if events:
            flow.began_at = min(event.recorded_at for event in events)
            times = [event.relayed_at or event.recorded_at for event in events]
            flow.last_at = max([*times, *(each.changed_at for each in deliveries)])
        if flow.state != stands.state or flow.pk is None:
            flow.state, flow.since = stands.state, flow.last_at
        flow.outcome, flow.waiting_for = stands.outcome, list(stands.waiting_for)
        flow.due_at, flow.overdue_at = stands.due_at, stands.overdue_at
        flow.variant = variants.variant(events, deliveries)
        flow.events_count = len(events)
        flow.failures_count = sum(_failures(each) for each in deliveries)
        if _kept(flow) != before or flow.pk is None:
            self._note(flow)

    # Saving

    def save(self) -> None:
        """Save what changed."""
        _save(Flow, self._changed[Flow].values(), _FLOW_FIELDS)
        events: list[Event] = list(self._changed[Event].values())
        for event in events:
            event.flow = self._flow_of[event.id]
        if events:
            Event.objects.bulk_create(
                events, _AT_ONCE, update_conflicts=True, unique_fields=["id"], update_fields=_EVENT_FIELDS
            )
        _save(Delivery, self._changed[Delivery].values(), _DELIVERY_FIELDS)
        for attempt in self._attempts:
            attempt.delivery = attempt.delivery  # which has its key by now
        Attempt.objects.bulk_create(self._attempts, _AT_ONCE, ignore_conflicts=True)
        self._save_minutes()

    def _save_minutes(self) -> None:
        if not self._counts:
            return
        known = {
            (row.at, row.type, row.consumer): row
            for row in Minute.objects.filter(
                at__in={at for at, _, _ in self._counts}, type__in={type for _, type, _ in self._counts}
            )
        }
        rows = []
        for (at, type, consumer), counts in self._counts.items():
            row = known.get((at, type, consumer)) or Minute(at=at, type=type, consumer=consumer)
            row.count += counts["count"]
            row.failed += counts["failed"]
            row.parked += counts["parked"]
            row.hops = histograms.added(row.hops, counts["hops"])
            rows.append(row)
        _save(Minute, rows, ["count", "failed", "parked", "hops"])


_FLOW_FIELDS = [
    *("kind", "key", "name", "trace_id", "began_at", "last_at", "state", "since", "outcome"),
    *("overdue_at", "due_at", "waiting_for", "variant", "events_count", "failures_count"),
]
_EVENT_FIELDS = ["flow", "emitted_by", "recorded_at", "relayed_at", "status", "error", "relay"]
_DELIVERY_FIELDS = [
    *("status", "mode", "received_at", "handled_at", "changed_at", "duration", "attempts", "due_at"),
    *("error", "fingerprint", "process", "emitted"),
]


def _save(model: type[Any], rows: Iterable[Any], fields: Sequence[str]) -> None:
    rows = list(rows)
    if new := [row for row in rows if row.pk is None]:
        model.objects.bulk_create(new, _AT_ONCE)
    created = {id(row) for row in new}
    if old := [row for row in rows if id(row) not in created]:
        model.objects.bulk_create(
            old, _AT_ONCE, update_conflicts=True, unique_fields=["id"], update_fields=fields
        )


def _kept(flow: Flow) -> tuple[Any, ...]:
    return tuple(getattr(flow, name) for name in _FLOW_FIELDS)


def _failures(delivery: Delivery) -> int:
    """Return how many attempts failed; of one that runs or has succeeded, all but the last."""
    ended_well = delivery.status in (Delivery.Status.HANDLED, Delivery.Status.RUNNING)
    return delivery.attempts - ended_well


def _duration(facts: AttemptTold) -> timedelta | None:
    return None if facts.seconds is None else timedelta(seconds=facts.seconds)
