"""What stands in outbox and inbox: counted on the indexes of the statuses, which hold only what is not done."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from django.db import connections
from django.db.models import Count

from microworkflows import ids, registry
from microworkflows.cloudevents import context_of
from microworkflows.metrics import database
from microworkflows.metrics.catalog import INBOX_MESSAGES, OLDEST_PENDING, OUTBOX_EVENTS
from microworkflows.metrics.expressions import Label
from microworkflows.metrics.samples import Sample
from microworkflows.models import ContextOf, InboxEvent, OutboxEvent

_OUTBOX = (OutboxEvent.Status.PENDING, OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED)
_INBOX = (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED)

# "status + 0 = 1" is the condition of the index microworkflows_pending; its migration says why.
_OLDEST = {
    "postgresql": """SELECT id FROM published
        WHERE split_part(destination, '.', 1) = %s AND status + 0 = 1 AND headers ? 'microworkflow' ORDER BY id LIMIT 1""",
    "sqlite": """SELECT id FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status + 0 = 1
            AND json_type(headers, '$.microworkflow') IS NOT NULL ORDER BY id LIMIT 1""",
}


def outbox() -> Iterator[Sample]:
    """Tell what is not relayed: first the age of the oldest, which is known at once however many wait."""
    contexts = database.contexts()
    with database.limited():
        for context in contexts:
            yield Sample(OLDEST_PENDING, (context,), _age_of_oldest(context))
    with database.limited():
        rows = OutboxEvent.objects.filter(status__in=_OUTBOX).annotate(context=ContextOf("destination"))
        found = {
            (context, status): number
            for context, status, number in rows.order_by()
            .values_list("context", "status")
            .annotate(number=Count("pk"))
        }
    for context in contexts:
        for status in _OUTBOX:
            yield Sample(OUTBOX_EVENTS, (context, status.label), found.get((context, status), 0))


def _age_of_oldest(context: str) -> float:
    connection = connections[database.alias()]
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST[connection.vendor], [context])
        row = cursor.fetchone()
    if row is None:
        return 0.0
    event = row[0] if isinstance(row[0], UUID) else UUID(row[0])
    return max((datetime.now(UTC) - ids.timestamp(event)).total_seconds(), 0.0)


def inbox() -> Iterator[Sample]:
    """Tell what is not handled."""
    with database.limited():
        found = {
            (label, status): number
            for status in _INBOX  # each has an index of its own
            for label, number in InboxEvent.objects.filter(status=status)
            .order_by()
            .annotate(label=Label())
            .values_list("label")
            .annotate(number=Count("pk"))
        }
    contexts = database.contexts()
    known = {workflow.label for workflow in registry.workflows() if workflow.context in contexts}
    for label in sorted(known | {label for label, _ in found}):
        for status in _INBOX:
            yield Sample(INBOX_MESSAGES, (*names(label), status.label), found.get((label, status), 0))


def names(label: str) -> tuple[str, str]:
    """Return the context and the microworkflow that a label names; the second is empty if it is that of a context."""
    return context_of(label), label if "." in label else ""
