"""Failures: the inbox keeps a message that failed, with its error, for a retry, or parks it."""

import random
import traceback
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
from django.db.models import Q
from django.utils import timezone
from pydantic import ValidationError

from microworkflows import conf, handling, logs, masking, registry, texts
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.handling import Headers
from microworkflows.models import Header, InboxEvent, InboxQuerySet
from microworkflows.workflows import Microworkflow

logger = logs.logger(__name__)

DATABASE_DOWN = (OperationalError, InterfaceError, InternalError, ProgrammingError)
"""Errors of a database that cannot even keep a failure, so that the message must not be acked.

The database is out of reach, read-only after a failover, or not migrated yet. None of that is the message's fault.
"""

_LONGEST_ERROR = 20_000


def handle_or_keep(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
) -> None:
    """Handle an event in its own transaction, as :func:`.handling.handle` does; after an error, keep the message with it."""
    try:
        handling.handle(workflow, event, attempt=attempt, last_delivery=last_delivery)
    except Exception as error:
        keep(workflow.label, event, error)


def keep(consumer: str, event: CloudEvent, error: Exception, *, headers: Headers | None = None) -> None:
    """Keep the message with its error for the next attempt, or park it.

    Args:
        consumer: Label of the microworkflow, or of the context where none of its microworkflows listens.
        event: The event that the consumer failed to handle.
        error: The exception raised; a :class:`~microworkflows.errors.PermanentError` parks the message at once.
        headers: Headers kept with the inbox row.

    Raises:
        DatabaseError: one of :data:`DATABASE_DOWN`; nothing was kept.
    """
    scrubbed = masking.scrub(event)
    said = scrubbed(str(error))
    traced = scrubbed("".join(traceback.format_exception(error)))
    connection = connections[router.db_for_write(InboxEvent)]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    now = timezone.now()
    with transaction.atomic(using=connection.alias):
        handling.insert([(consumer, event)], status=InboxEvent.Status.WAITING, headers=headers or {})
        row = handling.locked(consumer, event)
        if row.status == InboxEvent.Status.HANDLED:
            logger.error(
                "handled %s by %s, but a callback after its commit failed",
                *(event, consumer),
                exc_info=error,
                extra=logs.fields(event.meta, consumer=consumer, traceback=traced),
            )
            return
        row.retry += 1
        permanent = isinstance(error, PermanentError | ValidationError)
        parked = permanent or row.retry >= conf.current().max_attempts
        row.status = InboxEvent.Status.PARKED if parked else InboxEvent.Status.WAITING
        row.expires_at = now if parked else now + retry_delay(row.retry)
        row.headers = {
            **(row.headers or {}),
            Header.ERROR: storable(f"{type(error).__name__}: {said}"),
            Header.TRACEBACK: storable(traced),
        }
        row.save(update_fields=["retry", "status", "expires_at", "headers"])
    fields = logs.fields(event.meta, consumer=consumer, attempt=row.retry, traceback=traced)
    if parked:
        logger.error(
            "parked %s in %s after attempt %d: %s: %s",
            *(event, consumer, row.retry, type(error).__name__, texts.line(said)),
            exc_info=error,
            extra=fields,
        )
    else:
        logger.warning(
            "retry %s by %s after attempt %d, due %s: %s: %s",
            *(event, consumer, row.retry, row.expires_at.isoformat(), type(error).__name__, texts.line(said)),
            exc_info=error,
            extra=fields,
        )


def park_orphans(messages: InboxQuerySet, *, now: datetime) -> None:
    """Park the redelivered messages whose microworkflow no longer exists; today's listeners have just got the event."""
    of_a_microworkflow = Q()
    for workflow in registry.workflows():
        of_a_microworkflow |= Q(msg_id__startswith=f"{workflow.label}:")
    for row in messages.exclude(of_a_microworkflow):
        error = (
            f"LookupError: The microworkflow {row.label} no longer exists. The event was delivered again, to the "
            "microworkflows that listen to it now; a replay does the same."
        )
        messages.filter(pk=row.pk).update(
            status=InboxEvent.Status.PARKED,
            expires_at=now,
            headers={**(row.headers or {}), Header.ERROR: error, Header.TRACEBACK: None},
        )
        event = CloudEvent.from_dict(row.body)
        logger.error(
            "parked %s in %s: %s",
            *(event, row.label, error),
            extra=logs.fields(event.meta, consumer=row.label, attempt=row.retry),
        )


def retry_delay(attempts: int) -> timedelta:
    """Return the wait after a number of failed attempts: exponential backoff with jitter."""
    settings = conf.current()
    longest = min(settings.retry_delay * 2 ** min(attempts - 1, 32), settings.retry_max_delay)
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)


def storable(text: str) -> str:
    """Return a text fit for storing: without NUL, which PostgreSQL's jsonb rejects; of a long one, only its end."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[-_LONGEST_ERROR:]
