"""Where a flow stands: worked out from its rows and from what the contexts declare, each time that something happens in it.

It is done only if nothing is open and a declared final event happened, or nothing declared can lead to one. What cannot be known is
unknown: a context that declared nothing, or a process whose notices are missing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

from microworkflows import flows, past
from microworkflows.cloudevents import context_of
from microworkflows.journal.models import Context, Delivery, Event, Flow

Pair = tuple[str, str]
"""Awaited type, and the type since which it is awaited."""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A declared microworkflow."""

    label: str
    emits: frozenset[str]
    since: datetime | None
    """Time from which on it listens; None if it does so since its context is known."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A declared deadline."""

    awaited: str
    of: str
    within: timedelta


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What all contexts together declare."""

    contexts: frozenset[str] = frozenset()
    listeners: Mapping[str, Sequence[Listener]] = field(default_factory=dict)
    """By the type to which they listen."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """By the type of the event with which flows end."""
    promises: Sequence[Promise] = ()

    @cached_property
    def within(self) -> Mapping[Pair, timedelta]:
        """The deadlines; of two for the same events, the shorter one holds."""
        found: dict[Pair, timedelta] = {}
        for each in self.promises:
            pair = each.awaited, each.of
            found[pair] = min(found.get(pair, each.within), each.within)
        return found

    @staticmethod
    def read() -> "Declared":
        """Return what the contexts that the journal knows declare."""
        return Declared.of(Context.objects.all())

    @staticmethod
    def of(contexts: Iterable[Context]) -> "Declared":
        """Return what these contexts declare."""
        rows = list(contexts)
        listeners: dict[str, list[Listener]] = defaultdict(list)
        outcomes: dict[str, str] = {}
        promises = {}
        for row in rows:
            for each in row.declarations.get("workflows", []):
                since = each.get("since")
                listeners[each["on"]].append(
                    Listener(
                        label=each["label"],
                        emits=frozenset(each["emits"]),
                        since=None if since is None else datetime.fromtimestamp(since, UTC),
                    )
                )
            outcomes |= row.declarations.get("outcomes", {})
            for each in row.declarations.get("deadlines", []):
                promise = Promise(
                    awaited=each["awaited"], of=each["of"], within=timedelta(seconds=each["within"])
                )
                promises[promise.awaited, promise.of, promise.within] = promise
        return Declared(
            contexts=frozenset(row.name for row in rows),
            listeners=dict(listeners),
            outcomes=outcomes,
            promises=list(promises.values()),
        )

    def expected(self, event: Event) -> list[str]:
        """Return the labels of the microworkflows that get an event, by its flow's mark and the time of its recording."""
        labels = (
            each.label
            for type in event.types
            for each in self.listeners.get(type, ())
            if (each.since is None or each.since <= event.recorded_at)
            and not flows.is_left_to_nobody(each.label, event.mark or None)
        )
        return list(dict.fromkeys(labels))

    def emitter(self, event: Event, *, of: Event) -> str:
        """Return the label of the only microworkflow that emits such an event because of another; empty if none or several do.

        Of a timer, its relay alone tells, which does not know it.
        """
        able = {
            each.label
            for type in of.types
            for each in self.listeners.get(type, ())
            if not each.emits.isdisjoint(event.types)
        }
        return able.pop() if len(able) == 1 else ""

    def outcome(self, event: Event) -> str | None:
        """Return the outcome of flows that end with an event; None if none does."""
        return next((self.outcomes[type] for type in event.types if type in self.outcomes), None)

    def enders(self, types: Iterable[str]) -> set[str]:
        """Return the labels of the microworkflows that may emit a final event in a flow with events of these types."""
        found: set[str] = set()
        seen, ahead = set(types), list(types)
        while ahead:
            for each in self.listeners.get(ahead.pop(), ()):
                if not each.emits.isdisjoint(self.outcomes):
                    found.add(each.label)
                new = each.emits - seen
                seen |= new
                ahead += new
        return found


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A time for which a process's notices are missing."""

    contexts: frozenset[str]
    """Contexts of its service."""
    is_relay: bool
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a flow stands."""

    state: Flow.State
    outcome: str
    waiting_for: tuple[str, ...]
    """Labels of the microworkflows that have to act next; the label of a context is its relay's."""
    due_at: datetime | None
    overdue_at: datetime | None


def work_out(
    events: Sequence[Event],
    deliveries: Sequence[Delivery],
    declared: Declared,
    *,
    now: datetime,
    silences: Sequence[Silence] = (),
) -> Standing:
    """Return where a flow stands.

    Args:
        events: All its events.
        deliveries: All its deliveries.
        declared: What the contexts declare.
        now: The present time, for deadlines.
        silences: Times for which notices are missing.
    """
    picture = _Picture(declared)
    received: dict[UUID, dict[str, Delivery]] = defaultdict(dict)
    for delivery in deliveries:
        received[delivery.event_id][delivery.consumer] = delivery
    for event in events:
        picture.add_event(event, received[event.id])
    known = {event.id for event in events}
    for delivery in deliveries:
        picture.add_delivery(delivery, known)
    final = max(
        (event for event in events if declared.outcome(event) is not None),
        key=lambda event: event.recorded_at,
        default=None,
    )
    present = [
        event for event in events if not past.is_mark(event.mark)
    ]  # nothing follows from what happened long ago
    if not picture.waiting and final is None:
        picture.waiting = declared.enders({type for event in present for type in event.types})
    due_at, overdue_at = (None, None) if final else _deadlines(present, declared.promises, now)
    state = picture.state(silences, began_at=min((each.recorded_at for each in events), default=now))
    return Standing(
        state=state,
        outcome=(declared.outcome(final) or "") if final and state is Flow.State.DONE else "",
        waiting_for=tuple(sorted(picture.waiting)),
        due_at=due_at,
        overdue_at=overdue_at,
    )


class _Picture:
    """What is open, has failed or is unknown in a flow."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._involved: set[str] = set()
        self._last_at: datetime | None = None
        self._is_unclear = False
        self.waiting: set[str] = set()
        self.failed = False

    def add_event(self, event: Event, received: Mapping[str, Delivery]) -> None:
        """Take in an event and what has received it."""
        context = context_of(event.type)
        self._involve(context, event.recorded_at)
        expected = self._declared.expected(event)
        if event.status in (Event.Status.UNHEARD, Event.Status.REJECTED):
            self.failed |= bool(expected) or event.status == Event.Status.REJECTED
        elif event.status == Event.Status.UNTOLD and not received:
            self.waiting.add(context)  # its relay's turn
        else:
            self.waiting |= set(expected) - received.keys()
            # A queue has taken it, and nobody has said whose.
            self._is_unclear |= not received and not any(map(self._declared.listeners.get, event.types))

    def add_delivery(self, delivery: Delivery, known: set[UUID]) -> None:
        """Take in a delivery; ``known`` are the ids of the flow's events."""
        context = context_of(delivery.consumer)
        self._involve(context, delivery.changed_at)
        self.failed |= delivery.status == Delivery.Status.PARKED
        if delivery.status in (Delivery.Status.RUNNING, Delivery.Status.WAITING):
            self.waiting.add(delivery.consumer)
        if any(UUID(each) not in known for each in delivery.emitted):
            self.waiting.add(context)

    def state(self, silences: Sequence[Silence], *, began_at: datetime) -> Flow.State:
        """Return the state of the flow."""
        if self.failed:
            return Flow.State.FAILED
        if self._is_unclear or any(self._may_hide(each, began_at) for each in silences):
            return Flow.State.UNKNOWN
        return Flow.State.ON_ITS_WAY if self.waiting else Flow.State.DONE

    def _involve(self, context: str, at: datetime) -> None:
        self._involved.add(context)
        self._last_at = at if self._last_at is None else max(self._last_at, at)
        self._is_unclear |= context not in self._declared.contexts

    def _may_hide(self, silence: Silence, began_at: datetime) -> bool:
        """Return True if missing notices may be those that the flow waits for, or of an event that nobody has told of.

        Each handled event names those that followed from it. So where nothing is missing, only a relay can have hidden one.
        """
        if silence.until < began_at:
            return False
        if self.waiting:
            return not silence.contexts.isdisjoint(map(context_of, self.waiting))
        ended_before = self._last_at is not None and silence.since > self._last_at
        return silence.is_relay and not ended_before and not silence.contexts.isdisjoint(self._involved)


def _deadlines(
    events: Sequence[Event], promises: Sequence[Promise], now: datetime
) -> tuple[datetime | None, datetime | None]:
    """Return when the first deadline passes or passed that the watcher has to judge, and when the first that was missed passed.

    The watcher alone knows which of those that passed have an alarm already: it notes in the row which is the first that has none.
    """
    begun: dict[str, datetime] = {}
    for event in events:
        for type in event.types:
            begun[type] = min(begun.get(type, event.recorded_at), event.recorded_at)
    times = [
        begun[each.of] + each.within for each in promises if each.of in begun and each.awaited not in begun
    ]
    return min(times, default=None), min((time for time in times if time <= now), default=None)
