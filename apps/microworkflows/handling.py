"""Handling: one microworkflow, one event, once; inbox row, writes and what it emits in one transaction."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

from django.db import router, transaction
from django.utils import timezone

from microworkflows import recording, rows, tracing
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.ids import uuid7
from microworkflows.models import InboxEvent, message_id
from microworkflows.stamps import Mode
from microworkflows.workflows import Emitted, Microworkflow

logger = logging.getLogger(__name__)


_LONGEST_ERROR = 20_000
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
    mode: Mode = Mode.LIVE,
    function: Callable[[Any], Emitted] | None = None,
) -> list[CloudEvent]:
    """Handle an event, unless it was handled before.

    Opens a transaction. Done by the monolith it joins the one that is open, if any: an exception then leaves nothing
    but rolling that back, as it did when the step was a direct call.

    Args:
        attempt: For a redelivery, how many attempts had failed when it was sent: a waiting message is handled by
            the redelivery of its present attempt alone.
        last_delivery: The broker gives up on the message after this delivery: its process died each time before.
        mode: How it runs.
        function: Runs in its place, such as a legacy step.

    Returns:
        What it emitted, as recorded.

    Raises:
        ProcessDiedError: it is the last delivery.
        Exception: whatever the function raises; nothing was kept.
    """
    with transaction.atomic(using=router.db_for_write(InboxEvent), savepoint=mode is Mode.LIVE):
        claimed = insert([(workflow.label, event)], status=InboxEvent.Status.HANDLED, mode=mode)
        retried = None if claimed else locked(workflow.label, event)
        if retried is not None and (retried.status != InboxEvent.Status.WAITING or retried.retry != attempt):
            logger.info("skipped %s: %s is a duplicate", described(event), workflow.label)
            return []
        if last_delivery:
            raise ProcessDiedError(
                f"The worker's process died, or was killed, each time that it was to handle this message "
                f"({workflow.label}, or what {workflow.context} does with it besides). Look for the reason in the "
                "worker's log (memory, a native library, a time limit); then replay the message."
            )
        emitted = run(workflow, event, mode=mode, function=function)
        if emitted:
            recording.store([(each, workflow.label) for each in emitted])
        else:  # else storing has shown it
            insist_on_whole_transaction()
        if retried is not None:
            retried.status, retried.expires_at = InboxEvent.Status.HANDLED, timezone.now()
            retried.headers = {**(retried.headers or {}), "handled_at": timezone.now().isoformat()}
            retried.save(update_fields=["status", "expires_at", "headers"])
    log_handled(workflow, event, mode=mode)
    return emitted


def run(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    mode: Mode = Mode.LIVE,
    function: Callable[[Any], Emitted] | None = None,
) -> list[CloudEvent]:
    """Run a microworkflow, or what runs in its place; return what it emits, to be stored in this transaction."""
    with tracing.caused_by(cause(workflow, event, mode=mode)):
        result = (function or workflow)(workflow.on.from_cloud_event(event))
        return recording.prepare(workflow.emitted(result))


def log_handled(workflow: Microworkflow[Any], event: CloudEvent, *, mode: Mode = Mode.LIVE) -> None:
    """Log that it was."""
    logger.info(
        "handled %s by %s%s", described(event), workflow.label, "" if mode is Mode.LIVE else f" {mode}"
    )


def cause(
    workflow: Microworkflow[Any], event: CloudEvent, *, mode: Mode, rehearsal: list[Any] | None = None
) -> tracing.Cause:
    """Return what makes everything recorded meanwhile an effect of this event in this microworkflow."""
    return tracing.Cause(
        event_id=str(event.meta.id),
        correlation_id=event.meta.correlation_id,
        traceparent=event.meta.traceparent,
        workflow=workflow.label,
        emits=frozenset(emitted.event_type for emitted in workflow.emits),
        stamp=event.meta.stamp,
        mode=mode,
        rehearsal=rehearsal,
    )


def insert(
    deliveries: Sequence[tuple[str, CloudEvent]], *, status: InboxEvent.Status, mode: Mode = Mode.LIVE
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
                "type": event.meta.type,
                "correlation_id": event.meta.correlation_id,
                **({} if mode is Mode.LIVE else {"mode": str(mode)}),
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


def described(event: CloudEvent) -> str:
    """Return the event for a log line."""
    return f"{event.meta.type} {event.meta.id} correlation={event.meta.correlation_id}"


def storable(text: str) -> str:
    """Return a text as it can be kept: PostgreSQL's jsonb holds no NUL; of a long text its end tells most."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[-_LONGEST_ERROR:]


def insist_on_whole_transaction() -> None:
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
