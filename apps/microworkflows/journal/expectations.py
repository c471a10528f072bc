"""Expectations: what a flow still waits for, from whom, since when, and what stands in the way; with the remedy.

Worked out from the journey's rows and what is known of the contexts; nothing is read here but the number of flows that wait with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from microworkflows import past
from microworkflows.journal import waiting, words
from microworkflows.journal.models import Flow
from microworkflows.journal.presence import Life, Presence
from microworkflows.journeys import event_name, human_duration

if TYPE_CHECKING:
    from microworkflows.journal.journeys import Delivery, Event

_SOON = timedelta(seconds=20)
"""Up to this age a relayed event is taken to be on its way into its consumer."""


class Cause(StrEnum):
    """What stands in the way, in a word."""

    WORKER = "worker"
    RELAY = "relay"
    BACKLOG = "backlog"
    UNDER_WAY = "under way"
    RETRY = "retry"
    PARKED = "parked"
    UNHEARD = "unheard"
    REJECTED = "rejected"
    DEAD_LETTER = "dead letter"
    LOST = "lost"
    DEADLINE = "deadline"
    UNKNOWN = "unknown"


QUOTING: Final = frozenset({Cause.RETRY, Cause.PARKED, Cause.REJECTED, Cause.UNKNOWN})
"""Causes whose details may quote an error; those of the others name contexts and times alone."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Something that is still to come."""

    what: str
    """The consumer, relay or event that is expected, for people."""
    context: str
    """Whose turn it is."""
    since: datetime
    cause: Cause
    reason: str
    """What stands in the way, in a sentence."""
    error: str = ""
    """First line of the error that stands in the way, for those who may see errors: it may quote what an event holds."""
    command: str = ""
    """What to type, where that helps."""
    event_id: str = ""
    """Event whose delivery it is about."""
    is_urgent: bool = False
    """True if it will not come by itself."""

    @property
    def full_reason(self) -> str:
        """What stands in the way, with the error."""
        return f"{self.reason.removesuffix('.')}: {self.error}" if self.error else self.reason


def listeners(types: Sequence[str], seen: Mapping[str, Presence], *, at: datetime) -> set[str]:
    """Return the labels of the declared microworkflows that listened to one of an event's types at a time."""
    return {
        each["label"]
        for each in _declared(seen, "workflows")
        if each["on"] in types and (each.get("since") or 0) <= at.timestamp()
    }


def emits(label: str, seen: Mapping[str, Presence]) -> list[str]:
    """Return the types that a microworkflow may emit."""
    found = (
        type for each in _declared(seen, "workflows") if each["label"] == label for type in each["emits"]
    )
    return list(dict.fromkeys(found))  # of several versions, each is declared by itself


def of_flow(
    flow: Flow, events: "Sequence[Event]", *, seen: Mapping[str, Presence], now: datetime
) -> tuple[Expectation, ...]:
    """Return what a flow still waits for, the urgent first, then the longest awaited."""
    found = [*_deliveries(events, seen, now), *_relays(events, seen, now), *_deadlines(events, seen, now)]
    return tuple(sorted(found, key=lambda each: (not each.is_urgent, each.since)))


def _deliveries(
    events: "Sequence[Event]", seen: Mapping[str, Presence], now: datetime
) -> Iterator[Expectation]:
    others = _Waiting()
    for event in events:
        for delivery in event.deliveries:
            if not (delivery.open or delivery.failed):
                continue
            way = _way(event, delivery, seen, now, others)
            yield Expectation(
                what=_("%(consumer)s of %(event)s") % {"consumer": delivery.consumer, "event": event.name},
                context=delivery.context,
                since=delivery.bars[-1].began_at if delivery.bars else event.recorded_at,
                event_id=str(event.id),
                **way._asdict(),
            )


class _Way(NamedTuple):
    cause: Cause
    reason: str
    command: str = ""
    is_urgent: bool = False
    error: str = ""


def _way(
    event: "Event", delivery: "Delivery", seen: Mapping[str, Presence], now: datetime, others: "_Waiting"
) -> _Way:
    """Return cause, reason, command and urgency of a delivery that is open or failed."""
    if delivery.failed:
        return _failed(event, delivery)
    if absent := _absent(delivery.context, seen, now, others):
        return absent
    if delivery.status == "waiting":
        said = (
            _("Attempt %(number)s failed, the next is due at %(time)s.")
            if delivery.due_at
            else _("Attempt %(number)s failed, the next is due now.")
        )
        told = {"number": delivery.attempts, "time": words.clock(delivery.due_at, now)}
        return _Way(Cause.RETRY, said % told, error=_first_line(delivery.error))
    if delivery.status == "running":
        said = _("It runs since %(time)s on %(worker)s.") if delivery.worker else _("It runs since %(time)s.")
        told = {"time": words.clock(delivery.received_at, now), "worker": delivery.worker}
        return _Way(Cause.UNDER_WAY, said % told)
    return _in_queue(event, delivery.context, seen, now)


def _failed(event: "Event", delivery: "Delivery") -> _Way:
    if delivery.status == "parked":
        return _Way(
            Cause.PARKED,
            _("It is parked after attempt %(number)s.") % {"number": delivery.attempts},
            f"python manage.py replay --context {delivery.context}",
            is_urgent=True,
            error=_first_line(delivery.error),
        )
    if event.status == "rejected":
        error = _first_line(event.error)
        said = _("The broker refuses the event for good.")
        return _Way(Cause.REJECTED, said, is_urgent=True, error=error)
    said = _(
        "When the event was relayed, no queue was bound to %(type)s. Start a worker of %(context)s, then relay it again."
    ) % {"type": event.type, "context": delivery.context}
    return _Way(Cause.UNHEARD, said, "python manage.py unheard --relay", is_urgent=True)


def _absent(context: str, seen: Mapping[str, Presence], now: datetime, others: "_Waiting") -> _Way | None:
    """Say that a context has no worker, or that nobody knows of one; None if one lives."""
    known = seen.get(context)
    worker = known.worker if known else None
    if worker is not None and worker.life is Life.ALIVE:
        return None
    command = f"celery -A project worker -Q {context}"
    if worker is None or worker.since is None:
        said = _("No worker of %(context)s has ever reported to the journal; %(flows)s. Start it:") % {
            "context": context,
            "flows": others.on(context),
        }
        return _Way(Cause.UNKNOWN, said, command, is_urgent=True)
    since = words.clock(worker.since, now)
    if worker.life is Life.UNKNOWN:
        said = _(
            "Unknown: the journal has heard from nobody since %(time)s, also not from a worker of %(context)s."
        ) % {"time": since, "context": context}
        return _Way(Cause.UNKNOWN, said)
    said = (
        _("%(context)s has no worker since %(time)s: the last was stopped; %(flows)s. Start it:")
        if worker.life is Life.STOPPED
        else _("%(context)s has no worker since %(time)s: the last fell silent; %(flows)s. Start it:")
    )
    told = {"context": context, "time": since, "flows": others.on(context)}
    return _Way(Cause.WORKER, said % told, command, is_urgent=True)


def _in_queue(event: "Event", context: str, seen: Mapping[str, Presence], now: datetime) -> _Way:
    known = seen[context]
    if known.missing:
        said = _("Unknown: notices of %(names)s are missing, so it may have been handled.")
        return _Way(Cause.UNKNOWN, said % {"names": ", ".join(known.missing)})
    if known.depth:
        told = {"number": f"{known.depth:,}", "context": context, "handling": f"{known.handling or 0:,}"}
        said = (
            _("%(number)s messages wait in the queue of %(context)s, %(handling)s in hand.")
            if known.handling
            else _("%(number)s messages wait in the queue of %(context)s.")
        )
        return _Way(Cause.BACKLOG, said % told)
    if now - (event.relayed_at or event.recorded_at) <= _SOON or known.handling:
        said = _("It is on its way into the worker of %(context)s.")
        return _Way(Cause.UNDER_WAY, said % {"context": context})
    if known.depth is None:
        said = _("Unknown: nobody tells how many messages wait in the queue of %(context)s.")
        return _Way(Cause.UNKNOWN, said % {"context": context})
    if known.dead:
        said = _(
            "The queue of %(context)s is empty, and it has %(number)s dead letters: this may be one."
        ) % {"context": context, "number": f"{known.dead:,}"}
        return _Way(Cause.DEAD_LETTER, said, f"python manage.py dead_letters {context}", is_urgent=True)
    said = _("It was relayed at %(time)s, the queue of %(context)s is empty, and it was never received.") % {
        "time": words.clock(event.relayed_at or event.recorded_at, now),
        "context": context,
    }
    return _Way(Cause.LOST, said, "python manage.py unreceived", is_urgent=True)


def _relays(events: "Sequence[Event]", seen: Mapping[str, Presence], now: datetime) -> Iterator[Expectation]:
    for event in events:
        if event.status != "pending":
            continue
        way = _relay(event.context, seen.get(event.context), now)
        yield Expectation(
            what=_("relay of %(event)s") % {"event": event.name},
            context=event.context,
            since=event.recorded_at,
            event_id=str(event.id),
            **way._asdict(),
        )


def _relay(context: str, known: Presence | None, now: datetime) -> _Way:
    """Return cause, reason, command and urgency of an event that is not relayed."""
    command = f"celery -A project worker -Q {context}"
    if known is None or known.relay.life is Life.UNKNOWN:
        said = _("No relay of %(context)s has lately reported to the journal. It runs beside the worker:")
        return _Way(Cause.UNKNOWN, said % {"context": context}, command, is_urgent=True)
    if known.relay.life.is_down:
        said = _("%(context)s has no relay since %(time)s. It runs beside the worker; start it:")
        told = {"context": context, "time": words.clock(known.relay.since, now)}
        return _Way(Cause.RELAY, said % told, command, is_urgent=True)
    if known.relay.leads is False:
        said = _("The relay of %(context)s runs, but has not the lead, so it relays nothing.")
        return _Way(Cause.RELAY, said % {"context": context}, is_urgent=True)
    if known.pending:
        said = _("The relay of %(context)s has %(number)s events to relay.")
        return _Way(Cause.BACKLOG, said % {"context": context, "number": f"{known.pending:,}"})
    said = _("It is on its way to the broker by the relay of %(context)s.")
    return _Way(Cause.UNDER_WAY, said % {"context": context})


def _deadlines(
    events: "Sequence[Event]", seen: Mapping[str, Presence], now: datetime
) -> Iterator[Expectation]:
    """Yield the declared deadlines that still count: until the awaited event, or an outcome."""
    happened = {
        type: event.recorded_at
        for event in reversed(events)
        if not past.is_mark(event.mark)
        for type in event.types
    }
    if any(type in happened for each in seen.values() for type in each.declarations.get("outcomes", {})):
        return
    promised = {
        (each["awaited"], each["of"]): each["within"]
        for each in sorted(_declared(seen, "deadlines"), key=lambda each: -each["within"])
    }
    for (awaited, of), within in promised.items():
        if of not in happened or awaited in happened:
            continue
        due_at = happened[of] + timedelta(seconds=within)
        late = due_at <= now
        said = (
            _("It was due at %(time)s, %(within)s after %(event)s.")
            if late
            else _("It is due at %(time)s, %(within)s after %(event)s.")
        )
        told = {
            "time": words.clock(due_at, now),
            "within": human_duration(timedelta(seconds=within)),
            "event": event_name(of),
        }
        yield Expectation(
            what=event_name(awaited),
            context=awaited.partition(".")[0],
            since=happened[of],
            cause=Cause.DEADLINE,
            reason=said % told,
            is_urgent=late,
        )


class _Waiting:
    """Tells how many flows wait for a context; they are counted once, and only if somebody asks."""

    @cached_property
    def _numbers(self) -> Mapping[str, waiting.FlowsWaiting]:
        return waiting.flows()

    def on(self, context: str) -> str:
        """Return the number of flows that wait for a context, for people."""
        found = self._numbers.get(context, waiting.FlowsWaiting())
        if found.number <= 1:
            return _("this flow waits")
        told = {"number": f"{found.number:,}{'+' if found.more else ''}"}
        return ngettext("%(number)s flow waits", "%(number)s flows wait", found.number) % told


def _first_line(error: str) -> str:
    return error.strip().partition("\n")[0][:300] or _("no reason was told")


def _declared(seen: Mapping[str, Presence], what: str) -> Iterator[Mapping[str, Any]]:
    for each in seen.values():
        yield from each.declarations.get(what, ())
