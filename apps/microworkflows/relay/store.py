"""The relay's view of the database: the messages that are due, and the outcome of those that were published."""

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import TextField
from django.db.models.functions import Cast, Length

from microworkflows import (
    conf,
    failures,
    fingerprints,
    flows,
    holds,
    logs,
    retrying,
    signals,
    times,
    topology,
    transactions,
)
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.models import DUE_AT_ONCE, ContextOf, Header, InboxEvent, OutboxEvent, workflow_of
from microworkflows.relay.publisher import Message, Outcome

logger = logs.logger(__name__)

BATCH_BYTES = 4_000_000
"""Size of the bodies of a batch, beyond which it takes no further message (bytes; in SQLite, characters)."""

_AGAIN_AT_ONCE = 5_000

# In SQL, because every event takes this way: Django would build a statement of 500 parameters each time.
# "status + 0 = 1" is the condition of the index microworkflows_pending; its migration says why.
# The running total bounds a claim in bytes too, so that a batch of large events does not fill the relay's memory.
_DUE = {
    "postgresql": """
        SELECT id, destination, headers ->> 'only_for' AS only_for, body::text AS text FROM published
        WHERE split_part(destination, '.', 1) = %s AND status + 0 = 1 AND expires_at <= %s
            AND headers ? 'microworkflow' AND id <> ALL(%s::uuid[])
        ORDER BY id LIMIT %s""",
    "sqlite": """
        SELECT id, destination, json_extract(headers, '$.only_for') AS only_for, body AS text FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status + 0 = 1 AND expires_at <= %s
            AND json_type(headers, '$.microworkflow') IS NOT NULL AND id NOT IN (SELECT value FROM json_each(%s))
        ORDER BY id LIMIT %s""",
}
_DUE_FROM = {
    vendor: statement.replace("ORDER BY", "AND id >= %s\n        ORDER BY")
    for vendor, statement in _DUE.items()
}
_WITHIN_BYTES = """
    SELECT id, destination, only_for, text, total FROM (
        SELECT id, destination, only_for, text, sum({size}) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS total
        FROM ({due}) AS due
    ) AS measured
    WHERE total - {size} < %s
    ORDER BY id"""
_IDS = "SELECT id FROM ({due}) AS due ORDER BY id"
_SIZE = {"postgresql": "octet_length(text)", "sqlite": "length(text)"}
_MARK = {
    "postgresql": "UPDATE published SET status = %s WHERE id = ANY(%s::uuid[])",
    "sqlite": "UPDATE published SET status = %s WHERE id IN (SELECT value FROM json_each(%s))",
}

# What cancels a timer is looked up when it is due: so a flow pays for it once, and no other event at all.
_NEXT_TIMER = {
    "postgresql": """
        SELECT date_part('epoch', expires_at - statement_timestamp()) FROM published
        WHERE split_part(destination, '.', 1) = %s AND status = 5 AND headers ? 'microworkflow'
        ORDER BY expires_at LIMIT 1""",
    "sqlite": """
        SELECT (julianday(expires_at) - julianday(%s)) * 86400 FROM published
        WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status = 5
            AND json_type(headers, '$.microworkflow') IS NOT NULL
        ORDER BY expires_at LIMIT 1""",
}
_FIRE = {
    "postgresql": """
        WITH due AS MATERIALIZED (
            SELECT id FROM published
            WHERE split_part(destination, '.', 1) = %s AND status = 5
                AND expires_at <= statement_timestamp() + %s AND headers ? 'microworkflow'
            ORDER BY expires_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE published AS timer SET expires_at = %s, status = CASE WHEN headers ? 'unless' AND (
            EXISTS (
                SELECT 1 FROM published AS event
                WHERE (event.body ->> 'correlationid') = (timer.body ->> 'correlationid')
                    AND timer.headers -> 'unless' ? event.destination AND event.status NOT IN (5, 6)
            ) OR EXISTS (
                SELECT 1 FROM received AS message
                WHERE (message.body ->> 'correlationid') = (timer.body ->> 'correlationid')
                    AND timer.headers -> 'unless' ? (message.body ->> 'type')
            )
        ) THEN 6 ELSE 1 END
        FROM due WHERE timer.id = due.id RETURNING timer.status""",
    "sqlite": """
        UPDATE published AS timer SET expires_at = %s, status = CASE WHEN
            EXISTS (
                SELECT 1 FROM published AS event
                WHERE json_extract(event.body, '$.correlationid') = json_extract(timer.body, '$.correlationid')
                    AND event.destination IN (SELECT value FROM json_each(timer.headers, '$.unless'))
                    AND event.status NOT IN (5, 6)
            ) OR EXISTS (
                SELECT 1 FROM received AS message
                WHERE json_extract(message.body, '$.correlationid') = json_extract(timer.body, '$.correlationid')
                    AND json_extract(message.body, '$.type') IN (SELECT value FROM json_each(timer.headers, '$.unless'))
            )
        THEN 6 ELSE 1 END
        WHERE id IN (
            SELECT id FROM published
            WHERE substr(destination, 1, instr(destination, '.') - 1) = %s AND status = 5 AND expires_at <= %s
                AND json_type(headers, '$.microworkflow') IS NOT NULL
            ORDER BY expires_at LIMIT %s
        ) RETURNING status""",
}
_FIRED_AT_ONCE = 500
_AT_ONCE = timedelta()


class Fired(NamedTuple):
    """What a look at the timers that are due has led to."""

    due: int
    """Number of those that are pending now."""
    cancelled: int


class Due(NamedTuple):
    """Messages that are due: as many as are taken at once."""

    messages: list[Message]
    has_more: bool
    """True if more may be due already."""


def due_events(
    context: str,
    *,
    limit: int,
    now: datetime,
    besides: Sequence[Message] = (),
    starting_at: UUID | None = None,
) -> Due:
    """Return the context's next events to be published, in the order in which they were recorded.

    They are fewer than ``limit`` if those together are too large for a batch.

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
        due, values = _DUE[vendor], (context, now, ids, limit)
    else:
        first = starting_at if vendor == "postgresql" else starting_at.hex
        due, values = _DUE_FROM[vendor], (context, now, ids, first, limit)
    with connection.cursor() as cursor:
        cursor.execute(_WITHIN_BYTES.format(due=due, size=_SIZE[vendor]), [*values, BATCH_BYTES])
        rows = cursor.fetchall()
    messages = [
        Message(_uuid(pk), topology.name(only_for) if only_for else destination, text)
        for pk, destination, only_for, text, _ in rows
    ]
    return Due(messages, has_more=len(rows) >= limit or (bool(rows) and rows[-1][4] >= BATCH_BYTES))


def due_ids(context: str, *, limit: int, now: datetime, besides: Sequence[Message] = ()) -> list[UUID]:
    """Return the ids of the context's next events, however large they are; see :func:`due_events`."""
    connection = connections[router.db_for_write(OutboxEvent)]
    ids = _ids(connection, [message.id for message in besides])
    with connection.cursor() as cursor:
        cursor.execute(_IDS.format(due=_DUE[connection.vendor]), [context, now, ids, limit])
        return [_uuid(pk) for (pk,) in cursor.fetchall()]


def seconds_to_next_timer(context: str) -> float | None:
    """Return the time until the context's next timer is due, on the database's clock; None if there is none."""
    connection = connections[router.db_for_write(OutboxEvent)]
    values = (context,) if connection.vendor == "postgresql" else (times.now(), context)
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_TIMER[connection.vendor], values)
        row = cursor.fetchone()
    return None if row is None else float(row[0])


def fire_timers(context: str, *, ahead: timedelta = _AT_ONCE) -> Fired:
    """Make the context's timers that are due pending, and cancelled those of which the flow has seen an event that cancels them.

    One statement decides, so that each comes to one end, whoever else records, looks or is killed meanwhile. The database's
    clock says what is due: relays with other clocks fire none early. A timer that somebody holds waits for the next look.

    Args:
        context: Label of the context.
        ahead: Time for which to look ahead, as tests do.
    """
    connection = connections[router.db_for_write(OutboxEvent)]
    due_at_once = times.stored(DUE_AT_ONCE)
    values: tuple[Any, ...] = (context, ahead, _FIRED_AT_ONCE, due_at_once)
    if connection.vendor == "sqlite":
        values = (due_at_once, context, times.now() + ahead, _FIRED_AT_ONCE)
    with connection.cursor() as cursor:
        cursor.execute(_FIRE[connection.vendor], values)
        statuses = [status for (status,) in cursor.fetchall()]
    cancelled = statuses.count(OutboxEvent.Status.CANCELLED)
    return Fired(due=len(statuses) - cancelled, cancelled=cancelled)


def mark_events(outcome: Outcome, *, now: datetime) -> None:
    """Store the outcome of published events; those without one stay pending."""
    _set_status(outcome.confirmed, OutboxEvent.Status.RELAYED)
    _set_status(outcome.unheard, OutboxEvent.Status.UNHEARD)
    rows = OutboxEvent.objects.using(router.db_for_write(OutboxEvent))
    for row in rows.filter(pk__in=outcome.rejected) if outcome.rejected else ():
        row.status = OutboxEvent.Status.REJECTED
        row.headers = {**row.headers, Header.ERROR: outcome.rejected[row.pk]}
        row.save(update_fields=["status", "headers"])
    for row in rows.filter(pk__in=outcome.refused) if outcome.refused else ():
        row.retry += 1
        row.expires_at = now + retrying.delay(row.retry)
        row.headers = {**row.headers, Header.ERROR: outcome.refused[row.pk]}
        row.save(update_fields=["retry", "expires_at", "headers"])


def relay_again(contexts: Sequence[str], *, types: Sequence[str], since: datetime) -> int:
    """Make the events recorded since a time pending again, in small transactions; return their number.

    Those from which personal data was erased stay as they are, and so do timers that are not due, or cancelled.

    Args:
        contexts: Labels of the contexts that announced them.
        types: Types of the events; all if empty.
        since: Time of the first recording.
    """
    rows = OutboxEvent.objects.using(router.db_for_write(OutboxEvent)).exclude(status__in=OutboxEvent.UNSENT)
    rows = rows.exclude(headers__has_key=Header.ERASED_AT)
    if types:
        rows = rows.filter(destination__in=types)
    rows = (
        rows.alias(of=ContextOf("destination"))
        .filter(of__in=contexts, added__gte=times.stored(since))
        .order_by("pk")
    )
    number, last = 0, UUID(int=0)
    # By key, and not until there is none left: the relay is at work, and marks them meanwhile.
    while ids := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:_AGAIN_AT_ONCE]):
        last = ids[-1]
        again = rows.filter(pk__in=ids).order_by()
        with transactions.read_committed(using=router.db_for_write(OutboxEvent)):
            for row in again.filter(
                headers__has_key=Header.ONLY_FOR
            ):  # from now on for all who hear the type
                row.headers = {key: value for key, value in row.headers.items() if key != Header.ONLY_FOR}
                row.save(update_fields=["headers"])
            number += again.update(status=OutboxEvent.Status.PENDING, expires_at=times.stored(DUE_AT_ONCE))
    return number


def due_retries(context: str, *, limit: int, now: datetime) -> list[Message]:
    """Return the messages of the context's inbox that are due again, addressed to the queue that does its steps.

    They are fewer than ``limit`` if those together are too large for a batch. One that is being handled is left out,
    however long that takes, and so is one that is paused; just after a pause, they are few. One that no worker would let in any
    more, as after a bound was lowered, is parked.
    """
    using = router.db_for_write(InboxEvent)
    holds.look()
    limit = holds.most_back(context, limit=limit, now=now)
    waiting = InboxEvent.objects.using(using).waiting().of_context(context).filter(expires_at__lte=now)
    due = holds.free(waiting).annotate(text=Cast("body", TextField()))
    if not due.exists():
        return []
    with transaction.atomic(using=using):  # whoever holds a row keeps it from no other
        free = due.select_for_update(skip_locked=True, no_key=True)
        sizes = list(free.annotate(size=Length("text")).values_list("pk", "size")[:limit])
    totals = accumulate(size for _, size in sizes)
    taken = [pk for (pk, size), total in zip(sizes, totals, strict=True) if total - size < BATCH_BYTES]
    rows = (
        due.filter(pk__in=taken).values_list("pk", "text", "retry", "msg_id", "expires_at") if taken else ()
    )
    return [
        Message(pk, topology.name(queue), text, attempt, workflow_of(msg_id), due_at)
        for pk, text, attempt, msg_id, due_at in rows
        if (event := _readable(pk, text)) is not None
        and (queue := topology.queue_for(context, event.meta.mark))
    ]


def mark_retries(outcome: Outcome, *, now: datetime) -> set[UUID]:
    """Lease redelivered messages: those not handled by the end of the lease are due again.

    Returns the ids of those that got no lease, because they were in somebody's hands already.

    ``now`` is the time at which they were found due: one that has failed again since then already has its next attempt
    set, and so will one that is being handled. A message that was received when nobody listened to it leaves the inbox, to
    be received anew. One that the broker refuses for good is parked.
    """
    using = router.db_for_write(InboxEvent)
    waiting = InboxEvent.objects.using(using).filter(status=InboxEvent.Status.WAITING)
    redelivered = waiting.filter(pk__in=outcome.confirmed, expires_at__lte=now)
    failed = waiting.filter(pk__in=[*outcome.refused, *outcome.unheard])
    with transaction.atomic(using=using):
        redelivered.exclude(msg_id__contains=".").free().delete()
        redelivered.free().update(expires_at=now + timedelta(seconds=conf.current().redelivery_lease))
        failed.free().update(expires_at=now + retrying.delay(1))
    for pk, reason in outcome.rejected.items():
        _park(pk, reason, kind="rejected by the broker")
    return set(redelivered.values_list("pk", flat=True))


def put_off(messages: Sequence[Message], *, now: datetime) -> None:
    """Let others have their turn before these messages, which are due and for whom there is no room in their queue."""
    waiting = InboxEvent.objects.filter(status=InboxEvent.Status.WAITING, expires_at__lte=now)
    with transaction.atomic(using=router.db_for_write(InboxEvent)):
        rows = waiting.filter(pk__in=[message.id for message in messages]).free()
        rows.update(expires_at=now + retrying.delay(1))


def _readable(pk: UUID, text: str) -> CloudEvent | None:
    """Return the event of a waiting message if the door will let it in; else park it, and return None."""
    try:
        return CloudEvent.from_json(text, is_retry=True)
    except InvalidCloudEventError as error:
        _park(pk, f"{type(error).__name__}: {error}", kind=type(error).__qualname__)
        return None


def _park(pk: UUID, error: str, *, kind: str) -> None:
    """Park a message that cannot be brought back to its queue; ``kind`` tells such failures from others."""
    using = router.db_for_write(InboxEvent)
    waiting = InboxEvent.objects.using(using).filter(pk=pk, status=InboxEvent.Status.WAITING)
    with transaction.atomic(using=using):
        row = waiting.select_for_update(skip_locked=True, no_key=True).first()
        if row is None:
            return
        row.status = InboxEvent.Status.PARKED
        row.headers = {
            **(row.headers or {}),
            Header.ERROR: error,
            Header.TRACEBACK: None,
            Header.FINGERPRINT: fingerprints.of_kind(kind, consumer=row.label),
        }
        row.save(update_fields=["status", "headers"])
        failures.note(row, worker=f"relay@{socket.gethostname()}")
    logger.error("parked %s in %s: %s", *(row.event_id, row.label, error), extra={"context": row.context})
    signals.parked.send_robust(InboxEvent, message=row, exception=None)
    with suppress(
        InvalidCloudEventError
    ):  # the reason for which it is parked, perhaps: no guest can take it in
        ended = flows.Attempt(
            event=CloudEvent.from_dict(row.body),
            consumer=row.label,
            number=row.retry + 1,
            duration=None,
            mode=row.mode,
        )
        flows.failed(
            ended, flows.Failure(error, "", parked=True, due_at=None, fingerprint=row.fingerprint or "")
        )


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
