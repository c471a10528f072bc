"""Questions about a cut-over: which flows are still under way, and who is to do their next steps."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Concat

from microworkflows import registry
from microworkflows.cloudevents import MARK
from microworkflows.cutover import conf, switch
from microworkflows.cutover.stamps import Mode, Stamp
from microworkflows.models import CorrelationOf, InboxEvent, OutboxEvent, OutboxQuerySet
from microworkflows.workflows import Microworkflow


@dataclass(frozen=True, kw_only=True)
class Flows:
    """How many flows, by what their stamp says of one context."""

    inline: int = 0
    shadow: int = 0
    live: int = 0


def in_flight(context: str, *, newest: int | None = None) -> Flows:
    """Return how many flows wait for a context: it listens to one of their events and has not handled it.

    Events that were recorded in this database count, as far back as the outbox keeps them; what is waiting or parked
    counts too. Of a context whose inbox is in another database nothing is known, and everything counts.

    Args:
        newest: Look at about so many events alone, those that were recorded last: counting all takes seconds where
            there are hundreds of thousands.
    """
    own = [workflow for workflow in registry.workflows() if workflow.context == context]
    return _flows(context, own, OutboxEvent.objects.all() if newest is None else _newest(newest))


def unsettled(context: str) -> Flows:
    """Return how many flows wait for anybody, by what their stamp says of ``context``.

    Somebody else's step can lead to one of this context's. What happened in contexts that were moved to another
    database is not known here, and does not count.
    """
    moved = switch.moved()
    # Nor is it in a database of the context's own, where nothing is being cut over.
    alone = not conf.contexts()
    near = [
        workflow
        for workflow in registry.workflows()
        if workflow.context == context or not (alone or workflow.context in moved)
    ]
    return _flows(context, near, OutboxEvent.objects.all())


def _newest(number: int) -> OutboxQuerySet:
    # Their keys are in the order of time.
    beyond = OutboxEvent.objects.order_by("-pk").values_list("pk", flat=True)[number : number + 1]
    rows = OutboxEvent.objects.all()
    return rows.filter(pk__gt=beyond[0]) if beyond else rows


def _flows(context: str, workflows: "Collection[Microworkflow[Any]]", events: OutboxQuerySet) -> Flows:
    if not workflows:
        return Flows()
    stamped = (
        events.annotate(event_id=KeyTextTransform("id", "body"))
        .filter(reduce(or_, map(_not_handled_by, workflows)))
        .annotate(stamp=KeyTextTransform(MARK, "body"), flow=CorrelationOf(F("body")))
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
