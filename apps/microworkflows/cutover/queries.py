"""Queries about a cut-over: the flows still under way, by who does their next steps."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Concat

from microworkflows import registry
from microworkflows.cloudevents import FORMER_MARK, MARK
from microworkflows.cutover import conf, switch
from microworkflows.cutover.stamps import Mode, Stamp
from microworkflows.models import CorrelationOf, InboxEvent, OutboxEvent, OutboxQuerySet
from microworkflows.workflows import Microworkflow


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Numbers of flows by the mode of one context in their stamps."""

    inline: int = 0
    shadow: int = 0
    live: int = 0


def in_flight(context: str, *, newest: int | None = None) -> Flows:
    """Return the numbers of flows that wait for a context: it listens to one of their events and has not handled it.

    It counts flows by events that were recorded in this database, as far back as the outbox keeps them; waiting and
    parked messages count too. If the context's inbox is in another database, nothing is known of it, and all events
    count.

    Args:
        context: Label of the context.
        newest: Number of events to look at, about, of those recorded last: counting hundreds of thousands takes
            seconds. None to look at all.
    """
    own = [workflow for workflow in registry.workflows() if workflow.context == context]
    return _flows(context, own, OutboxEvent.objects.all() if newest is None else _newest(newest))


def unsettled(context: str) -> Flows:
    """Return the numbers of flows that wait for any context, by the mode of ``context`` in their stamps.

    Another context's step can lead to one of this context's. Contexts that were moved to another database do not count,
    since their inboxes are not known here.
    """
    moved = switch.moved()
    # In a database of the context's own, where nothing is being cut over, it alone counts.
    alone = not conf.contexts()
    near = [
        workflow
        for workflow in registry.workflows()
        if workflow.context == context or not (alone or workflow.context in moved)
    ]
    return _flows(context, near, OutboxEvent.objects.all())


def _newest(number: int) -> OutboxQuerySet:
    # The keys of events are in the order of time.
    beyond = OutboxEvent.objects.order_by("-pk").values_list("pk", flat=True)[number : number + 1]
    rows = OutboxEvent.objects.all()
    return rows.filter(pk__gt=beyond[0]) if beyond else rows


def _flows(context: str, workflows: "Collection[Microworkflow[Any]]", events: OutboxQuerySet) -> Flows:
    if not workflows:
        return Flows()
    stamped = (
        events.annotate(event_id=KeyTextTransform("id", "body"))
        .filter(reduce(or_, map(_not_handled_by, workflows)))
        .annotate(
            stamp=Coalesce(KeyTextTransform(MARK, "body"), KeyTextTransform(FORMER_MARK, "body")),
            flow=CorrelationOf(F("body")),
        )
        .order_by()
        .values_list("stamp")
        .annotate(Count("flow", distinct=True))
    )
    counts = dict.fromkeys((*Mode, None), 0)
    for mark, flows in stamped:
        counts[Stamp.parse(mark).mode(context)] += flows
    return Flows(inline=counts[Mode.INLINE], shadow=counts[Mode.SHADOW], live=counts[Mode.LIVE])


def _not_handled_by(workflow: "Microworkflow[Any]") -> Q:
    key = Concat(Value(f"{workflow.label}:"), Cast(OuterRef("event_id"), CharField()))
    handled = InboxEvent.objects.filter(msg_id=key, status=InboxEvent.Status.HANDLED)
    return Q(~Exists(handled), destination=workflow.on.event_type)
