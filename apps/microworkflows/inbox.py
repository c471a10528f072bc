"""The inbox: each microworkflow handles each event once, in one transaction with its writes and what it emits."""

import logging
import random
import traceback
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.utils import timezone
from pydantic import ValidationError

from microworkflows import conf, outbox, registry, tracing
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.ids import uuid7
from microworkflows.models import DUE_AT_ONCE, InboxEvent, message_id
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)

DATABASE_DOWN = (OperationalError, InterfaceError, InternalError, ProgrammingError)
"""What :func:`receive` lets through: not even the failure could be kept, so the message must not be acked.

Out of reach, read-only after a failover, or not migrated yet: nothing of it is the message's fault.
"""

_LONGEST_ERROR = 20_000


class NobodyListensError(PermanentError):
    """An event reached a context none of whose microworkflows listens to it."""


def receive(body: object, *, context: str, attempt: int | None = None) -> None:
    """Handle a delivered CloudEvent in every microworkflow of ``context`` that listens to it.

    Each one runs in a transaction of its own: the inbox row, its writes and the events it emits commit together
    or not at all, so delivering twice changes nothing. One that fails does not touch the others: the message is
    kept with the error and retried later, or parked.

    Args:
        body: The CloudEvent as a JSON object.
        context: Label of the context whose queue it came from.
        attempt: For a redelivery, how many attempts had failed when it was sent. A waiting message is handled only
            by the redelivery of its present attempt: other copies would use its attempts up.

    Raises:
        InvalidCloudEventError: ``body`` is no CloudEvent.
        OperationalError, InterfaceError: the database is out of reach; deliver the message again.
    """
    event = CloudEvent.from_dict(body)
    workflows = registry.listeners(event.meta.type, contexts=[context])
    if not workflows:
        _keep_failure(
            context,
            event,
            NobodyListensError(
                f"No microworkflow of {context} listens to {event.meta.type}. If a newer version of its code does, "
                f"replay this message once that runs; else unbind the type from the queue {context!r}."
            ),
        )
    for workflow in workflows:
        try:
            _handle(workflow, event, attempt)
        except Exception as error:
            _keep_failure(workflow.label, event, error)


def replay(rows: Iterable[InboxEvent]) -> int:
    """Let parked (or waiting) messages be tried again now, with all their attempts before them.

    Returns:
        How many there were; rows that were handled stay as they are.
    """
    return (
        InboxEvent.objects.filter(pk__in=[row.pk for row in rows])
        .exclude(status=InboxEvent.Status.HANDLED)
        .update(status=InboxEvent.Status.WAITING, expires_at=DUE_AT_ONCE, retry=0)
    )


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after so many failed attempts: exponential backoff with jitter."""
    settings = conf.current()
    longest = min(settings.retry_delay * 2 ** min(attempts - 1, 32), settings.retry_max_delay)
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)


def _handle(workflow: Microworkflow[Any], event: CloudEvent, attempt: int | None) -> None:
    with transaction.atomic(using=router.db_for_write(InboxEvent)):
        retried = None if _insert(workflow, event) else _locked(workflow.label, event)
        if retried is not None and (retried.status != InboxEvent.Status.WAITING or retried.retry != attempt):
            logger.info("skipped %s: %s is a duplicate", _described(event), workflow.label)
            return
        cause = tracing.Cause(
            event_id=str(event.meta.id),
            correlation_id=event.meta.correlation_id,
            traceparent=event.meta.traceparent,
            workflow=workflow.label,
            emits=frozenset(emitted.event_type for emitted in workflow.emits),
        )
        with tracing.caused_by(cause):
            emitted = outbox.record_all(workflow.emitted(workflow(workflow.on.from_cloud_event(event))))
        if not emitted:  # else recording has shown it
            _insist_on_whole_transaction()
        if retried is not None:
            retried.status, retried.expires_at = InboxEvent.Status.HANDLED, timezone.now()
            retried.headers = {**(retried.headers or {}), "handled_at": timezone.now().isoformat()}
            retried.save(update_fields=["status", "expires_at", "headers"])
    logger.info("handled %s by %s", _described(event), workflow.label)


def _insist_on_whole_transaction() -> None:
    """Raise if the microworkflow caught a database error, but not with a savepoint around what failed.

    Such a transaction can only be rolled back, and COMMIT does that without a word: the event would count as handled.
    """
    with transaction.get_connection(router.db_for_write(InboxEvent)).cursor() as cursor:
        cursor.execute("SELECT 1")


def _insert(workflow: Microworkflow[Any], event: CloudEvent) -> bool:
    """Claim the event for this microworkflow; False if it had received it before.

    One statement dedupes: who comes second waits here until the first commits, then inserts nothing.
    """
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    row = _row(workflow.label, event, status=InboxEvent.Status.HANDLED, now=timezone.now())
    fields = row._meta.concrete_fields
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {connection.ops.quote_name(row._meta.db_table)} ({columns}) "  # noqa: S608  (own names)
            f"VALUES ({', '.join(['%s'] * len(fields))}) ON CONFLICT (msg_id) DO NOTHING",
            [
                field.get_db_prep_save(field.pre_save(row, add=True), connection=connection)
                for field in fields
            ],
        )
        return bool(cursor.rowcount == 1)


def _locked(label: str, event: CloudEvent) -> InboxEvent:
    return InboxEvent.objects.select_for_update().get(msg_id=message_id(label, event.meta.id))


def _keep_failure(label: str, event: CloudEvent, error: Exception) -> None:
    """Keep the message with its error for the next attempt, or park it."""
    connection = connections[router.db_for_write(InboxEvent)]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    now = timezone.now()
    with transaction.atomic(using=connection.alias):
        new = _row(label, event, status=InboxEvent.Status.WAITING, now=now)
        InboxEvent.objects.bulk_create([new], ignore_conflicts=True)
        row = _locked(label, event)
        if row.status == InboxEvent.Status.HANDLED:
            logger.error(
                "handled %s by %s, but what was to follow its commit failed",
                _described(event),
                label,
                exc_info=error,
            )
            return
        row.retry += 1
        permanent = isinstance(error, PermanentError | ValidationError)
        parked = permanent or row.retry >= conf.current().max_attempts
        row.status = InboxEvent.Status.PARKED if parked else InboxEvent.Status.WAITING
        row.expires_at = now if parked else now + retry_delay(row.retry)
        row.headers = {
            **(row.headers or {}),
            "error": _storable(f"{type(error).__name__}: {error}"),
            "traceback": _storable("".join(traceback.format_exception(error))),
            "failed_at": now.isoformat(),
            "permanent": permanent,
        }
        row.save(update_fields=["retry", "status", "expires_at", "headers"])
    if parked:
        logger.error("parked %s in %s: %s: %s", _described(event), label, type(error).__name__, error)
    else:
        logger.warning(
            "retry %s by %s after attempt %d, due %s: %s: %s",
            *(_described(event), label, row.retry, row.expires_at.isoformat(), type(error).__name__, error),
        )


def _row(label: str, event: CloudEvent, *, status: int, now: datetime) -> InboxEvent:
    return InboxEvent(
        pk=uuid7(),
        msg_id=message_id(label, event.meta.id),
        body=event.to_dict(),
        headers={"type": event.meta.type, "correlation_id": event.meta.correlation_id},
        expires_at=now,
        retry=0,
        status=status,
    )


def _storable(text: str) -> str:
    """PostgreSQL's jsonb holds no NUL; of a long text its end tells most."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[-_LONGEST_ERROR:]


def _described(event: CloudEvent) -> str:
    return f"{event.meta.type} {event.meta.id} correlation={event.meta.correlation_id}"
