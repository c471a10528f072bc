"""Edges of the process as the journal's rows tell them, for the drift gate."""

from datetime import datetime
from itertools import chain

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
    begun = events.filter(causation_id="", emitted_by="").values_list("type", "versions")
    emitted = events.exclude(emitted_by="").values_list("emitted_by", "type", "versions")
    heard = deliveries.values_list("event__type", "event__versions", "consumer")
    return {
        *(
            drift.edge(context_of(each), each)
            for type, versions in begun.distinct()
            for each in versions or [type]
        ),
        *(
            drift.edge(label, each)
            for label, type, versions in emitted.distinct()
            for each in versions or [type]
        ),
        *chain.from_iterable(_heard(*each) for each in heard.distinct()),
    }


def _heard(type: str, versions: list[str] | None, label: str) -> list[str]:
    """Return the edges from the versions of a fact to who has handled one of them: from each that it declares to hear."""
    edges = [drift.edge(each, label) for each in versions or [type]]
    known = declared() if versions else set()
    return [each for each in edges if each in known] or edges[:1]
