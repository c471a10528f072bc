"""Rows that nobody here settles any more: of microworkflows and contexts that the installed code no longer has."""

from typing import NamedTuple

from django.db.models import Count
from django.db.models.functions import Left, Length

from microworkflows import registry
from microworkflows.cloudevents import context_of
from microworkflows.models import ContextOf, InboxEvent, OutboxEvent

_END = 37
"""Length of the end of an inbox key: a colon and the event's id."""


class Rows(NamedTuple):
    """Rows of one name and status."""

    name: str
    """Label of the microworkflow that is gone, or of a context."""
    status: str
    number: int


def messages() -> list[Rows]:
    """Count the waiting and parked messages of microworkflows that are gone, and those that none of their context's wanted."""
    known = {workflow.label for workflow in registry.workflows()}
    failing = InboxEvent.objects.failing().order_by()
    counted = failing.annotate(name=Left("msg_id", Length("msg_id") - _END)).values_list("name", "status")
    return sorted(
        Rows(name, InboxEvent.Status(status).label, number)
        for name, status, number in counted.annotate(number=Count("pk"))
        if name not in known
    )


def events() -> list[Rows]:
    """Count the pending events and the timers of contexts that are gone: no relay is theirs."""
    known = set(registry.contexts())
    unsent = (OutboxEvent.Status.PENDING, OutboxEvent.Status.SCHEDULED)
    rows = OutboxEvent.objects.filter(status__in=unsent).order_by()
    counted = rows.annotate(name=ContextOf("destination")).values_list("name", "status")
    return sorted(
        Rows(name, OutboxEvent.Status(status).label, number)
        for name, status, number in counted.annotate(number=Count("pk"))
        if name not in known
    )


def of(context: str) -> list[Rows]:
    """Return those of one context."""
    return [each for each in (*messages(), *events()) if context_of(each.name) == context]
