"""Handling: one microworkflow, one event, once; inbox row, writes and what it emits in one transaction."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from django.db import router, transaction
from django.utils import timezone

from microworkflows import causes, logs, recording, rows
from microworkflows.causes import Cause
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.ids import uuid7
from microworkflows.models import Header, InboxEvent, message_id
from microworkflows.workflows import Emitted, Microworkflow

logger = logging.getLogger(__name__)

Headers = Mapping[str, str]
"""What a guest keeps with the inbox row, such as the mode in which a monolith did the step."""

_NO_HEADERS: Headers = {}
_IN_ERROR = 3
"""What libpq calls PQTRANS_INERROR; the connection knows it without asking the server."""


class ProcessDiedError(PermanentError):
    """The process that handled the message died, at each delivery."""


def handle(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
    function: Callable[[Any], Emitted] | None = None,
    headers: Headers = _NO_HEADERS,
    joins: bool = False,
) -> list[CloudEvent]:
    """Handle an event in a transaction, unless it was handled before.

    Args:
        attempt: For a redelivery, how many attempts had failed when it was sent: a waiting message is handled by
            the redelivery of its present attempt alone.
        last_delivery: The broker gives up on the message after this delivery: its process died each time before.
        function: Runs in its place, such as a legacy step.
        headers: Kept with the inbox row.
        joins: Join the transaction that is open, without a savepoint: an exception then leaves nothing but rolling
            all of it back.

    Returns:
        What it emitted, as recorded.

    Raises:
        ProcessDiedError: it is the last delivery.
        Exception: whatever the function raises; nothing was kept.
    """
    began = time.monotonic()
    with transaction.atomic(using=router.db_for_write(InboxEvent), savepoint=not joins):
        new = insert([(workflow.label, event)], status=InboxEvent.Status.HANDLED, headers=headers)
        retried = None if new else locked(workflow.label, event)
        if retried is not None and (retried.status != InboxEvent.Status.WAITING or retried.retry != attempt):
            logger.info(
                "skipped %s: %s is a duplicate",
                *(event, workflow.label),
                extra=logs.fields(event.meta, consumer=workflow.label),
            )
            return []
        if last_delivery:
            raise ProcessDiedError(
                f"The worker's process died, or was killed, each time that it was to handle this message "
                f"({workflow.label}, or what {workflow.context} does with it besides). Look for the reason in the "
                "worker's log (memory, a native library, a time limit); then replay the message."
            )
        emitted = run(workflow, event, function=function)
        if emitted:
            recording.store([(each, workflow.label) for each in emitted])
        else:  # else storing has shown it
            raise_if_transaction_broken()
        if retried is not None:
            retried.status, retried.expires_at = InboxEvent.Status.HANDLED, timezone.now()
            retried.headers = {**(retried.headers or {}), Header.HANDLED_AT: timezone.now().isoformat()}
            retried.save(update_fields=["status", "expires_at", "headers"])
    log_handled(workflow, event, headers=headers, duration=time.monotonic() - began)
    return emitted


def run(
    workflow: Microworkflow[Any], event: CloudEvent, *, function: Callable[[Any], Emitted] | None = None
) -> list[CloudEvent]:
    """Run a microworkflow, or what runs in its place; return what it emits, to be stored in this transaction."""
    with causes.caused_by(cause(workflow, event)):
        result = (function or workflow)(workflow.on.from_cloud_event(event))
        return recording.prepare(workflow.emitted(result))


def log_handled(
    workflow: Microworkflow[Any], event: CloudEvent, *, headers: Headers = _NO_HEADERS, duration: float
) -> None:
    """Log that an event was handled, once that is committed; the duration is in seconds."""
    logger.info(
        "handled %s by %s%s",
        *(event, workflow.label, "".join(f" {value}" for value in headers.values())),
        extra=logs.fields(event.meta, consumer=workflow.label, duration=duration, **headers),
    )


def cause(workflow: Microworkflow[Any], event: CloudEvent, *, rehearsal: list[Any] | None = None) -> Cause:
    """Return what makes everything recorded meanwhile an effect of this event in this microworkflow."""
    return Cause(
        event_id=str(event.meta.id),
        correlation_id=event.meta.correlation_id,
        traceparent=event.meta.traceparent,
        workflow=workflow.label,
        emits=frozenset(emitted.event_type for emitted in workflow.emits),
        mark=event.meta.mark,
        rehearsal=rehearsal,
    )


def insert(
    deliveries: Sequence[tuple[str, CloudEvent]],
    *,
    status: InboxEvent.Status,
    headers: Headers = _NO_HEADERS,
) -> set[str]:
    """Insert an inbox row for each consumer's label and event; return the keys of those not received before.

    One statement dedupes: who comes second waits here until the first commits, then inserts nothing. In the order of
    their keys, so that two who insert the same rows do not wait for each other.
    """
    now = timezone.now()
    inbox = [
        {
            "id": uuid7(),
            "msg_id": message_id(label, event.meta.id),
            "body": event.to_dict(),
            "headers": {
                Header.TYPE: event.meta.type,
                Header.CORRELATION_ID: event.meta.correlation_id,
                **headers,
            },
            "added": now,
            "expires_at": now,
            "retry": 0,
            "status": int(status),
        }
        for label, event in deliveries
    ]
    inbox.sort(key=lambda row: cast("str", row["msg_id"]))
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    return rows.insert_new(connection, InboxEvent._meta.db_table, inbox, key="msg_id")


def locked(label: str, event: CloudEvent) -> InboxEvent:
    """Return the inbox row of an event, locked."""
    return InboxEvent.objects.select_for_update().get(msg_id=message_id(label, event.meta.id))


def raise_if_transaction_broken() -> None:
    """Raise if the microworkflow caught a database error, but not with a savepoint around what failed.

    Such a transaction can only be rolled back, and COMMIT does that without a word: the event would count as handled.

    Raises:
        TransactionManagementError: it did.
    """
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    connection.validate_no_broken_transaction()
    if connection.vendor == "postgresql" and connection.connection.info.transaction_status == _IN_ERROR:
        raise transaction.TransactionManagementError(
            "The microworkflow caught a database error without a savepoint of its own, so nothing that it wrote can "
            "be kept. Put `with transaction.atomic():` around the statement that may fail."
        )
