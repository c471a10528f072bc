"""Queries about a cut-over: the flows still under way, by who does their next steps."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Concat, Right

from microworkflows import registry
from microworkflows.cloudevents import FORMER_MARK, MARK
from microworkflows.cutover import conf, switch
from microworkflows.cutover.stamps import BY_MONOLITH, MONOLITH, Mode, Stamp
from microworkflows.models import (
    ContextOf,
    CorrelationOf,
    FactOf,
    Header,
    InboxEvent,
    OutboxEvent,
    OutboxQuerySet,
)
from microworkflows.workflows import Microworkflow

Pairs = Iterable[tuple[str | None, str]]
"""The stamp and the id of each flow."""


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Numbers of flows by the mode of one context in their stamps."""

    inline: int = 0
    shadow: int = 0
    live: int = 0

    @property
    def by_monolith(self) -> int:
        """Number of flows in which the monolith does the context's steps."""
        return self.inline + self.shadow


def in_flight(context: str, *, newest: int | None = None) -> Flows:
    """Return the numbers of flows that wait for a context: it listens to one of their events and has not handled it.

    It counts flows by events that were recorded in this database, as far back as the outbox keeps them, and by the messages
    that wait or are parked, however old their events are. If the context's inbox is in another database, nothing is known
    of it, and all events count.

    Args:
        context: Label of the context.
        newest: Number of events to look at, about, of those recorded last: counting hundreds of thousands takes
            seconds. None to look at all.
    """
    return counted(context, waiting_for(context, newest=newest))


def waiting_for(context: str, *, newest: int | None) -> Pairs:
    """Return the stamp and the id of each flow that :func:`in_flight` counts."""
    own = [workflow for workflow in registry.workflows() if workflow.context == context]
    of_monolith = Q(msg_id__startswith=f"{MONOLITH}:", headers__type__in=registry.subscriptions(context))
    events = OutboxEvent.objects.all() if newest is None else _newest(newest)
    return _pairs(own, events, failed=_of_contexts([context]) | of_monolith)


def live(context: str, flows: Pairs) -> list[str]:
    """Return the ids of those flows in which the context's own worker does its steps, whatever its mode is now."""
    return list(dict.fromkeys(flow for mark, flow in flows if Stamp.parse(mark).mode(context) is Mode.LIVE))


def names(flows: Collection[str]) -> dict[str, str]:
    """Return, by flow, the name or key of what it is about, where that is known."""
    begins = OutboxEvent.objects.of_flow(*flows).filter(headers__has_key=Header.SUBJECT)
    rows = begins.values_list(CorrelationOf("body"), f"headers__{Header.SUBJECT}")
    return {flow: subject.get("name") or subject["key"] for flow, subject in reversed(list(rows))}


def unsettled(context: str) -> Flows:
    """Return the numbers of flows that wait for any context, by the mode of ``context`` in their stamps.

    Another context's step can lead to one of this context's. Contexts that were moved to another database do not count,
    since their inboxes are not known here, except for the messages that the monolith keeps for them.
    """
    moved = switch.moved()
    # In a database of the context's own, where nothing is being cut over, it alone counts.
    alone = not conf.contexts()
    near = [
        workflow
        for workflow in registry.workflows()
        if workflow.context == context or not (alone or workflow.context in moved)
    ]
    failed = _of_contexts({MONOLITH, context, *(workflow.context for workflow in near)})
    return counted(context, _pairs(near, OutboxEvent.objects.all(), failed=failed))


def left_to_monolith(context: str) -> int:
    """Return the number of a context's messages that wait or are parked, and that the monolith has to handle."""
    marks = (mark for rows in _failed(_of_contexts([context])) for mark, _ in rows.iterator())
    return sum(Stamp.parse(mark).mode(context) in BY_MONOLITH for mark in marks)


def forsaken(*, newest: int) -> dict[str, int]:
    """Return the numbers of flows that wait for the monolith to do a context's step, where ``CUTOVER`` no longer names it.

    Contexts that receive nothing in this database do not count. ``newest`` is as in :func:`in_flight`.
    """
    numbers = {
        context: in_flight(context, newest=newest).by_monolith
        for context in registry.contexts()
        if context not in conf.contexts() and InboxEvent.objects.of_context(context).exists()
    }
    return {context: number for context, number in numbers.items() if number}


def _newest(number: int) -> OutboxQuerySet:
    # The keys of events are in the order of time.
    beyond = OutboxEvent.objects.order_by("-pk").values_list("pk", flat=True)[number : number + 1]
    rows = OutboxEvent.objects.all()
    return rows.filter(pk__gt=beyond[0]) if beyond else rows


def _pairs(workflows: "Collection[Microworkflow[Any]]", events: OutboxQuerySet, *, failed: Q) -> Pairs:
    """Return the stamp and id of each flow that waits for one of the microworkflows, or of which one of these messages failed."""
    if not workflows:
        return []
    expected = (
        events.annotate(event_id=FactOf())
        .filter(reduce(or_, map(_not_handled_by, workflows)))
        .annotate(stamp=_stamp(), flow=CorrelationOf(F("body")))
    )
    pairs: Pairs = expected.order_by().values_list("stamp", "flow").union(*_failed(failed)).iterator()
    return pairs


def counted(context: str, flows: Pairs) -> Flows:
    """Return the numbers of flows by the mode of a context in their stamps."""
    counts: Counter[Mode | None] = Counter()
    for mark, number in Counter(mark for mark, _ in flows).items():
        counts[Stamp.parse(mark).mode(context)] += number
    return Flows(inline=counts[Mode.INLINE], shadow=counts[Mode.SHADOW], live=counts[Mode.LIVE])


def _not_handled_by(workflow: "Microworkflow[Any]") -> Q:
    key = Concat(Value(f"{workflow.label}:"), Cast(OuterRef("event_id"), CharField()))
    done = (InboxEvent.Status.HANDLED, InboxEvent.Status.DISMISSED)
    handled = InboxEvent.objects.filter(msg_id=key, status__in=done)
    listened = Q(headers__listeners__has_key=workflow.label) | ~Q(headers__has_key=Header.LISTENERS)
    return Q(
        listened | Q(status=OutboxEvent.Status.PENDING),
        ~Q(status=OutboxEvent.Status.CANCELLED),
        ~Exists(handled),
        destination__in=workflow.types,
    )


def _of_contexts(contexts: Collection[str]) -> Q:
    return reduce(
        or_,
        (Q(msg_id__startswith=f"{context}{after}") for context in sorted(contexts) for after in ".:"),
    )


def _failed(which: Q) -> list[Any]:
    """Return queries of the stamp and flow of each message among these that waits, and of each that is parked.

    One status at a time, because each has a partial index of its own. A foreign event has no stamp, whatever it says.
    """
    own = When(source=F("announcer"), own_id=F("key_id"), then=_stamp())
    rows: Any = InboxEvent.objects.filter(which).annotate(
        source=Cast(KeyTextTransform("source", "body"), TextField()),
        announcer=Concat(Value("/"), ContextOf(KeyTextTransform("type", "body"))),
        own_id=FactOf(),
        key_id=Right("msg_id", 36),
    )
    pairs = rows.annotate(stamp=Case(own), flow=CorrelationOf(F("body"))).values_list("stamp", "flow")
    return [pairs.filter(status=status) for status in (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED)]


def _stamp() -> Coalesce:
    return Coalesce(KeyTextTransform(MARK, "body"), KeyTextTransform(FORMER_MARK, "body"))
