"""Edges of the process as the journal's rows tell them, for the drift gate."""

from datetime import datetime

from microworkflows import drift, times
from microworkflows.cloudevents import context_of
from microworkflows.journal.models import Context, Delivery, Event, Flow


def has_flows(*, since: datetime) -> bool:
    """Return True if a flow began since then."""
    return Flow.objects.filter(began_at__gte=times.stored(since)).exists()


def declared() -> set[str]:
    """Return the names of the edges that contexts declared to the journal."""
    rows = dict(Context.objects.values_list("name", "declarations"))
    return drift.edges(
        announces=[each for own in rows.values() for each in own.get("announces", ())],
        listeners=[
            (each["label"], each["on"], each["emits"])
            for own in rows.values()
            for each in own.get("workflows", ())
        ],
        known=rows,
    )


def observed(*, since: datetime) -> set[str]:
    """Return the names of the edges that were seen in the flows that began since then."""
    flows = Flow.objects.filter(began_at__gte=times.stored(since)).values("pk")
    events = Event.objects.filter(flow__in=flows).order_by()
    deliveries = Delivery.objects.filter(event__flow__in=flows).order_by()
    begun = events.filter(causation_id="", emitted_by="").values_list("type", flat=True)
    emitted = events.exclude(emitted_by="").values_list("emitted_by", "type")
    return {
        *(drift.edge(context_of(each), each) for each in begun.distinct()),
        *(drift.edge(label, each) for label, each in emitted.distinct()),
        *(
            drift.edge(each, label)
            for each, label in deliveries.values_list("event__type", "consumer").distinct()
        ),
    }
