"""Erasing in the journal, which keeps no payloads: what may be personal there are the texts of errors."""

from typing import Any

from django.db.models import Q, QuerySet

from microworkflows import sensitive
from microworkflows.cloudevents import context_of
from microworkflows.flows import Erasing
from microworkflows.journal.models import Attempt, Delivery, Event, Flow


def erase(erasing: Erasing) -> dict[str, int]:
    """Leave of the errors in flows about some objects their types alone, but of those that somebody still has to mend."""
    flows = _flows(erasing)
    deliveries = Delivery.objects.filter(event__flow__in=flows).exclude(
        status__in=(Delivery.Status.WAITING, Delivery.Status.PARKED)
    )
    changed = (
        _erase(Attempt.objects.filter(delivery__in=deliveries), erasing)
        + _erase(deliveries, erasing)
        + _erase(Event.objects.filter(flow__in=flows, status=Event.Status.RELAYED), erasing)
    )
    return {"errors in the journal": changed}


def contexts_of(erasing: Erasing) -> set[str]:
    """Return the contexts, of all services, that announced or received events of these flows."""
    events = Event.objects.filter(flow__in=_flows(erasing))
    consumers = Delivery.objects.filter(event__in=events).values_list("consumer", flat=True).distinct()
    return {context_of(name) for name in (*events.values_list("type", flat=True).distinct(), *consumers)}


def _flows(erasing: Erasing) -> "QuerySet[Flow]":
    about = Q()
    for subject in erasing.subjects:
        about |= Q(kind=subject.kind, key=subject.key)
    return Flow.objects.filter(about)


def _erase(rows: "QuerySet[Any]", erasing: Erasing) -> int:
    changed = 0
    for pk, error in rows.exclude(error="").values_list("pk", "error"):
        text = sensitive.erased_error(error, at=erasing.at)
        if text != error:
            changed += rows.model.objects.filter(pk=pk).update(error=text)
    return changed
