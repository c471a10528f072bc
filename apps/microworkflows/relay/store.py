"""The relay's view of the database: the messages that are due, and the outcome of those that were published."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import TextField
from django.db.models.functions import Cast

from microworkflows import conf, failures, flows, topology
from microworkflows.cloudevents import FORMER_MARK, MARK, CloudEvent
from microworkflows.models import Header, InboxEvent, OutboxEvent
from microworkflows.relay.publisher import Message, Outcome

# In SQL, because every event takes this way: Django would build a statement of 500 parameters each time.
# "status + 0 = 1" is the condition of the index microworkflows_pending; its migration says why.
_DUE = {
    "postgresql": """
        SELECT id, destination, body::text FROM published
        WHERE split_part(destination, '.', 1) = %s AND status + 0 = 1 AND expires_at <= %s
            AND headers ? 'microworkflow' AND id <> ALL(%s::uuid[])
        ORDER BY id LIMIT %s""",
    "sqlite": """
        SELECT id, destination, body FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status + 0 = 1 AND expires_at <= %s
            AND json_type(headers, '$.microworkflow') IS NOT NULL AND id NOT IN (SELECT value FROM json_each(%s))
        ORDER BY id LIMIT %s""",
}
_DUE_FROM = {
    vendor: statement.replace("ORDER BY", "AND id >= %s\n        ORDER BY")
    for vendor, statement in _DUE.items()
}
_MARK = {
    "postgresql": "UPDATE published SET status = %s WHERE id = ANY(%s::uuid[])",
    "sqlite": "UPDATE published SET status = %s WHERE id IN (SELECT value FROM json_each(%s))",
}


def open_session(connection: BaseDatabaseWrapper) -> None:
    """Make the relay's session commit without waiting until its marks are on disk.

    If a crash of the server loses a mark, the event is sent once more, as after any crash of the relay. In return,
    transactions that record events wait less for the disk.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")


def due_events(
    context: str,
    *,
    limit: int,
    now: datetime,
    besides: Sequence[Message] = (),
    starting_at: UUID | None = None,
) -> list[Message]:
    """Return the context's next events to be published, in the order in which they were recorded.

    Args:
        context: Label of the context.
        limit: Largest number of events.
        now: The present time; events due later are left out.
        besides: Messages that are already under way; they are left out.
        starting_at: Id of the event at which the search begins; None to search from the first.
    """
    connection = connections[router.db_for_write(OutboxEvent)]
    vendor, ids = connection.vendor, _ids(connection, [message.id for message in besides])
    values: tuple[Any, ...]
    if starting_at is None:
        statement, values = _DUE[vendor], (context, now, ids, limit)
    else:
        first = starting_at if vendor == "postgresql" else starting_at.hex
        statement, values = _DUE_FROM[vendor], (context, now, ids, first, limit)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [Message(_uuid(pk), destination, body) for pk, destination, body in cursor.fetchall()]


def mark_events(outcome: Outcome, *, now: datetime) -> None:
    """Store the outcome of published events; those without one stay pending."""
    _set_status(outcome.confirmed, OutboxEvent.Status.RELAYED)
    _set_status(outcome.unheard, OutboxEvent.Status.UNHEARD)
    if not outcome.refused:
        return
    for row in OutboxEvent.objects.using(router.db_for_write(OutboxEvent)).filter(pk__in=outcome.refused):
        row.retry += 1
        row.expires_at = now + failures.retry_delay(row.retry)
        row.headers = {**row.headers, Header.ERROR: outcome.refused[row.pk]}
        row.save(update_fields=["retry", "expires_at", "headers"])


def due_retries(context: str, *, limit: int, now: datetime) -> list[Message]:
    """Return the messages of the context's inbox that are due again, addressed to the queue that does its steps."""
    rows = (
        InboxEvent.objects.using(router.db_for_write(InboxEvent))
        .waiting()
        .of_context(context)
        .filter(expires_at__lte=now)
        .annotate(text=Cast("body", TextField()))
        .values_list("pk", "text", "retry")
    )
    return [Message(pk, _queue(context, text), text, attempt) for pk, text, attempt in rows[:limit]]


def mark_retries(outcome: Outcome, *, now: datetime) -> None:
    """Lease redelivered messages: those not handled by the end of the lease are due again.

    ``now`` is the time at which they were found due: one that has failed again since then already has its next attempt
    set. A message that was received when nobody listened to it leaves the inbox, to be received anew. One whose
    microworkflow no longer exists is parked.
    """
    due = InboxEvent.objects.filter(status=InboxEvent.Status.WAITING, expires_at__lte=now)
    redelivered = due.filter(pk__in=outcome.confirmed)
    redelivered.exclude(msg_id__contains=".").delete()
    failures.park_orphans(redelivered, now=now)
    redelivered.update(expires_at=now + timedelta(seconds=conf.current().redelivery_lease))
    failed = [*outcome.refused, *outcome.unheard]
    InboxEvent.objects.filter(pk__in=failed, status=InboxEvent.Status.WAITING).update(
        expires_at=now + failures.retry_delay(1)
    )


def _queue(context: str, text: str) -> str:
    """Return the queue that a message goes back to; its body is parsed for the flow's mark only if that may matter."""
    if not flows.router.queues() or not any(f'"{name}"' in text for name in (MARK, FORMER_MARK)):
        return context
    return topology.queue_for(context, CloudEvent.from_dict(json.loads(text)).meta.mark)


def _set_status(ids: Sequence[UUID], status: OutboxEvent.Status) -> None:
    if ids:
        connection = connections[router.db_for_write(OutboxEvent)]
        with connection.cursor() as cursor:
            cursor.execute(_MARK[connection.vendor], [status, _ids(connection, ids)])


def _ids(connection: BaseDatabaseWrapper, ids: Sequence[UUID]) -> list[UUID] | str:
    """Return ids as one parameter: an array in PostgreSQL, JSON in SQLite's form of a UUID."""
    return list(ids) if connection.vendor == "postgresql" else json.dumps([each.hex for each in ids])


def _uuid(stored: UUID | str) -> UUID:
    return stored if isinstance(stored, UUID) else UUID(stored)
