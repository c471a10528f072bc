"""What stands in outbox and inbox: counted on the indexes of the statuses, which hold only what is not done."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.db import connections

from microworkflows import ids, registry, times
from microworkflows.cloudevents import context_of
from microworkflows.metrics import database
from microworkflows.metrics.catalog import INBOX_MESSAGES, OLDEST_PENDING, OUTBOX_EVENTS
from microworkflows.metrics.expressions import Label
from microworkflows.metrics.samples import Sample
from microworkflows.models import ContextOf, InboxEvent, OutboxEvent

MOST: Final = 20_000
"""Rows of a kind that are counted at most, so that a count takes no longer when very much waits."""

_OUTBOX = (OutboxEvent.Status.UNHEARD, OutboxEvent.Status.REJECTED)
_INBOX = (InboxEvent.Status.WAITING, InboxEvent.Status.PARKED)

# "status + 0 = 1" is the condition of the index microworkflows_pending; its migration says why.
_PENDING = {
    "postgresql": """SELECT id FROM published
        WHERE split_part(destination, '.', 1) = %s AND status + 0 = 1 AND headers ? 'microworkflow' ORDER BY id LIMIT %s""",
    "sqlite": """SELECT id FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status + 0 = 1
            AND json_type(headers, '$.microworkflow') IS NOT NULL ORDER BY id LIMIT %s""",
}

_OVERDUE = {
    "postgresql": """SELECT id FROM published
        WHERE split_part(destination, '.', 1) = %s AND status = 5 AND expires_at <= %s AND headers ? 'microworkflow'
        ORDER BY expires_at LIMIT 1""",
    "sqlite": """SELECT id FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status = 5 AND expires_at <= %s
            AND json_type(headers, '$.microworkflow') IS NOT NULL ORDER BY expires_at LIMIT 1""",
}
_OLDEST = """SELECT id FROM ({pending}) AS pending UNION ALL SELECT id FROM ({overdue}) AS overdue ORDER BY id LIMIT 1"""


def outbox() -> Iterator[Sample]:
    """Tell what is not relayed: first the age of the oldest, which is known at once however many wait."""
    contexts = database.contexts()
    with database.limited():
        for context in contexts:
            yield Sample(OLDEST_PENDING, (context,), _age_of_oldest(context))
    with database.limited():
        for context in contexts:
            pending = OutboxEvent.Status.PENDING.label
            yield Sample(OUTBOX_EVENTS, (context, pending), _number_of_pending(context))
        for status in _OUTBOX:
            rows = OutboxEvent.objects.filter(status=status).order_by().annotate(of=ContextOf("destination"))
            numbers = Counter(rows.values_list("of", flat=True)[:MOST])
            for context in contexts:
                yield Sample(OUTBOX_EVENTS, (context, status.label), numbers[context])


def _age_of_oldest(context: str) -> float:
    """Return the seconds for which the oldest pending event waits, or a timer that is due."""
    connection = connections[database.alias()]
    with connection.cursor() as cursor:
        oldest = _OLDEST.format(pending=_PENDING[connection.vendor], overdue=_OVERDUE[connection.vendor])
        cursor.execute(oldest, [context, 1, context, times.now()])
        row = cursor.fetchone()
    if row is None:
        return 0.0
    event = row[0] if isinstance(row[0], UUID) else UUID(row[0])
    return max((datetime.now(UTC) - ids.timestamp(event)).total_seconds(), 0.0)


def _number_of_pending(context: str) -> int:
    connection = connections[database.alias()]
    with connection.cursor() as cursor:
        counted = f"SELECT count(*) FROM ({_PENDING[connection.vendor]}) AS pending"  # noqa: S608  (own text)
        cursor.execute(counted, [context, MOST])
        return int(cursor.fetchone()[0])


def inbox() -> Iterator[Sample]:
    """Tell what is not handled."""
    contexts = database.contexts()
    known = {workflow.label for workflow in registry.workflows() if workflow.context in contexts}
    numbers: dict[InboxEvent.Status, Counter[str]] = {}
    for status in _INBOX:  # each has an index of its own
        with database.limited():
            rows = InboxEvent.objects.many().filter(status=status)
            numbers[status] = Counter(rows.annotate(label=Label()).values_list("label", flat=True)[:MOST])
    found = {label for each in numbers.values() for label in each if context_of(label) in contexts}
    for label in sorted(known | found):
        for status in _INBOX:
            yield Sample(INBOX_MESSAGES, (*names(label), status.label), numbers[status][label])


def names(label: str) -> tuple[str, str]:
    """Return the context and the microworkflow that a label names; the second is empty if it is that of a context."""
    return context_of(label), label if "." in label else ""
