"""Handling: one microworkflow handles one event once; inbox row, writes and emitted events share a transaction."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import Error, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import (
    causes,
    circuits,
    flows,
    isolation,
    libpq,
    limiting,
    logs,
    recording,
    registry,
    rows,
    times,
)
from microworkflows.causes import Cause
from microworkflows.cloudevents import CloudEvent, context_of, kept_of
from microworkflows.errors import MicroworkflowsError, PermanentError
from microworkflows.ids import uuid7
from microworkflows.models import Header, InboxEvent, message_id
from microworkflows.workflows import Emitted, Microworkflow

logger = logging.getLogger(__name__)

Headers = Mapping[str, str]
"""Headers that a guest keeps with the inbox row, such as the mode in which a monolith did the step."""

_NO_HEADERS: Headers = {}
_IN_ERROR = 3
"""libpq's PQTRANS_INERROR, a status that the connection knows without asking the server."""


class ProcessDiedError(PermanentError):
    """The process that handled the message died again and again."""


class TimeLimitError(MicroworkflowsError):
    """The process that handled the message was killed, because it exceeded the worker's time limit."""


class NotBegunError(Error):
    """The inbox did not take the row of a message, so no microworkflow has run; the cause is the driver's error."""


class Effects(NamedTuple):
    """The events that a run brings about."""

    returned: list[CloudEvent]
    """Those that the function returned, to be stored in the run's transaction."""
    recorded: list[UUID]
    """Ids of those that it recorded by itself; complete once the transaction has committed."""


_killed: ContextVar[list[TimeLimitError] | None] = ContextVar("microworkflows_killed", default=None)


@contextmanager
def killed_after(seconds: float | None) -> Iterator[None]:
    """Fail the first microworkflow that would run inside the block: it ran when a time limit killed its process.

    Those before it have handled the event, and those after it run. With None, nothing fails.
    """
    if seconds is None:
        yield
        return
    error = TimeLimitError(
        f"The time limit of {seconds:g} s was exceeded, and the process that handled the message was killed. Make the "
        "microworkflow quicker or raise the limit; a soft time limit below it would show where the time went."
    )
    token = _killed.set([error])
    try:
        yield
    finally:
        _killed.reset(token)


def fails_unrun(*, last_delivery: bool) -> bool:
    """Return True if the next microworkflow fails without a run, so that no limit of runs is its concern."""
    return last_delivery or bool(_killed.get())


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
        workflow: The microworkflow.
        event: The event that was delivered to it.
        attempt: For a redelivery, the number of attempts that had failed when it was sent. A waiting message is
            handled only by the redelivery of its present attempt.
        last_delivery: True if the broker gives up on the message after this delivery, because its process died at
            each one before.
        function: Function that runs in the microworkflow's place, such as a legacy step.
        headers: Headers kept with the inbox row, also as the function may have changed them meanwhile.
        joins: True to join the open transaction without a savepoint; after an exception, all of it can only be
            rolled back.

    Returns:
        The events that the function returned, as recorded.

    Raises:
        ProcessDiedError: it is the last delivery.
        TimeLimitError: see :func:`killed_after`.
        NotBegunError: the function did not run.
        NoPlaceError: nor did it, because as many runs of it as may be at once are going on.
        Exception: the function raised it; nothing was kept.
    """
    began, at_first = time.monotonic(), dict(headers)
    using = router.db_for_write(InboxEvent)
    with transaction.atomic(using=using, savepoint=not joins):
        if function is None and not fails_unrun(last_delivery=last_delivery):
            limiting.take_place(transaction.get_connection(using), workflow)
        try:
            new = insert([(workflow.label, event)], status=InboxEvent.Status.HANDLED, headers=headers)
            retried = None if new else locked(workflow.label, event)
        except (Error, InboxEvent.DoesNotExist) as error:
            raise NotBegunError(str(error)) from error.__cause__
        if retried is not None and not retried.awaits(attempt):
            logger.info(
                "skipped %s: %s is a duplicate",
                *(event, workflow.label),
                extra=logs.fields(event.meta, consumer=workflow.label),
            )
            return []
        if last_delivery:
            raise ProcessDiedError(
                f"The worker's process died, or was killed, again and again at this message (in {workflow.label}, or "
                f"in another microworkflow of {workflow.context}). Look for the reason in the worker's log (memory, a "
                "native library, a time limit); then replay the message."
            )
        if killed := _killed.get():
            raise killed.pop()
        effects = run(workflow, event, function=function, number=(attempt or 0) + 1)
        if effects.returned:
            recording.store([(each, workflow.label) for each in effects.returned])
        else:  # storing would have shown it
            raise_if_transaction_broken()
        if retried is not None:
            retried.status, retried.expires_at = InboxEvent.Status.HANDLED, times.now()
            at = {Header.HANDLED_AT: datetime.now(UTC).isoformat()}
            retried.headers = {**(retried.headers or {}), **headers, **at}
            retried.body = kept_of(event)
            retried.save(update_fields=["status", "expires_at", "headers", "body"])
        elif headers != at_first:
            row = locked(workflow.label, event)
            row.headers = {**row.headers, **headers}
            row.save(update_fields=["headers"])
    tell_handled(
        workflow,
        event,
        effects,
        number=(attempt or 0) + 1,
        headers=headers,
        duration=time.monotonic() - began,
    )
    return effects.returned


def run(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    function: Callable[[Any], Emitted] | None = None,
    number: int = 1,
) -> Effects:
    """Run a microworkflow, or a function in its place, in this transaction."""
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    own = cause(workflow, event)
    with (
        _leaving_nothing_under_way(connection),
        causes.caused_by(own),
        flows.running(event, consumer=workflow.label, number=number),
        connection.execute_wrapper(isolation.refuse_control),
    ):
        reading = workflow.on.from_cloud_event(event)
        if function is not None:
            emitted = workflow.emitted(function(reading))
        else:
            with limiting.broken_off_in_time(workflow):
                emitted = workflow.handle(reading)
        return Effects(returned=recording.prepare(emitted), recorded=own.recorded)


@contextmanager
def _leaving_nothing_under_way(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Cancel the statement in which a run was broken off: else it holds the inbox row that its failure is to be kept with."""
    try:
        yield
    except BaseException:
        libpq.cancel(connection)
        raise


def run_all(workflow: Microworkflow[Any], events: Sequence[CloudEvent]) -> list[Effects]:
    """Run a microworkflow that takes many on events of different flows, in this transaction; see :func:`run`.

    What each event emits is prepared in a context of its own, in which that event is the cause and its span the current one.
    """
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    with ExitStack() as stack:
        own = [_enter_own_context(stack, workflow, event) for event in events]
        stack.enter_context(_leaving_nothing_under_way(connection))
        stack.enter_context(causes.caused_by(cause(workflow, events[0])))
        stack.enter_context(connection.execute_wrapper(isolation.refuse_control))
        emitted = workflow.handle_all([workflow.on.from_cloud_event(event) for event in events])
        return [
            Effects(returned=context.run(recording.prepare, each), recorded=[])
            for context, each in zip(own, emitted, strict=True)
        ]


def _enter_own_context(stack: ExitStack, workflow: Microworkflow[Any], event: CloudEvent) -> Context:
    """Return a copy of this context in which an event is being handled, until the stack is left."""
    own, around = copy_context(), _around(workflow, event)

    def leave(*error: Any) -> bool | None:
        return own.run(around.__exit__, *error)

    own.run(around.__enter__)
    stack.push(leave)
    return own


@contextmanager
def _around(workflow: Microworkflow[Any], event: CloudEvent) -> Iterator[None]:
    """Let an event be handled in the block."""
    with (
        causes.caused_by(cause(workflow, event)),
        flows.running(event, consumer=workflow.label, number=1),
    ):
        yield


def tell_handled(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    effects: Effects,
    *,
    number: int = 1,
    headers: Headers = _NO_HEADERS,
    duration: float,
) -> None:
    """Log, and tell the breaker and, after the commit, the guests, that an event was handled.

    Args:
        workflow: The microworkflow.
        event: The event.
        effects: Events that it brought about.
        number: Number of the attempt, 1 for the first.
        headers: Headers kept with the inbox row.
        duration: Duration in seconds.
    """
    circuits.note_success(workflow)
    logger.info(
        "handled %s by %s%s",
        *(event, workflow.label, "".join(f" {value}" for value in headers.values())),
        extra=logs.fields(event.meta, consumer=workflow.label, duration=duration, **headers),
    )
    if flows.has_guests():
        mode = headers.get(Header.MODE, "")
        ended = flows.Attempt(
            event=event, consumer=workflow.label, number=number, duration=duration, mode=mode
        )

        def tell() -> None:
            now = [each.meta for each in effects.returned if not each.meta.is_timer]
            returned = [meta.id for meta in now if meta.is_newest]
            flows.handled(ended, [*effects.recorded, *returned])

        # At once, unless it joined a transaction that is still open.
        transaction.on_commit(tell, using=router.db_for_write(InboxEvent))


def cause(workflow: Microworkflow[Any], event: CloudEvent, *, rehearsal: list[Any] | None = None) -> Cause:
    """Return the cause of everything that this microworkflow records while it handles this event."""
    return Cause(
        event_id=str(event.meta.id),
        correlation_id=event.meta.correlation_id,
        traceparent=event.meta.traceparent,
        workflow=workflow.label,
        emits=frozenset(event.event_type for event in workflow.emits),
        many=workflow.many,
        subject=event.meta.subject,
        mark=event.meta.mark,
        hops=event.meta.hops,
        rehearsal=rehearsal,
    )


def insert(
    deliveries: Sequence[tuple[str, CloudEvent]],
    *,
    status: InboxEvent.Status,
    headers: Headers = _NO_HEADERS,
) -> set[str]:
    """Insert an inbox row for each consumer's label and event; return the keys of those not received before.

    One that is handled keeps the event's attributes alone: nobody handles it again, and its outbox has the data.
    This one statement removes duplicates: the second process waits here until the first commits, then inserts nothing.
    Rows are inserted in the order of their keys, so that two processes with the same rows do not wait for each other.
    """
    now, is_handled = times.now(), status == InboxEvent.Status.HANDLED
    inbox = [
        {
            "id": uuid7(),
            "msg_id": message_id(label, event.meta.id),
            "body": kept_of(event) if is_handled else event.to_dict(),
            "headers": {
                Header.TYPE: event.meta.type,
                Header.CORRELATION_ID: event.meta.correlation_id,
                **_listeners(label, event),
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


def _listeners(label: str, event: CloudEvent) -> dict[str, Any]:
    """Return the header that names the microworkflows of a context that listen to the same event, if there are several."""
    beside = registry.listening(event.meta.type, context=context_of(label))
    return {Header.LISTENERS: beside} if len(beside) > 1 else {}


def insert_or_lock(
    label: str, event: CloudEvent, *, status: InboxEvent.Status, headers: Headers = _NO_HEADERS
) -> tuple[InboxEvent, bool]:
    """Return the inbox row of an event, locked, and True if it is new: one that leaves the inbox in between is inserted anew."""
    while True:
        is_new = bool(insert([(label, event)], status=status, headers=headers))
        with suppress(InboxEvent.DoesNotExist):
            return locked(label, event), is_new


def locked(label: str, event: CloudEvent) -> InboxEvent:
    """Return the inbox row of an event, locked.

    Raises:
        InboxEvent.DoesNotExist: it was purged, or has left the inbox to be received anew.
    """
    return InboxEvent.objects.select_for_update().get(msg_id=message_id(label, event.meta.id))


def raise_if_transaction_broken() -> None:
    """Raise if the microworkflow caught a database error without a savepoint around the statement that failed.

    Such a transaction can only be rolled back, and COMMIT does so silently: the event would count as handled.

    Raises:
        TransactionManagementError: the transaction is broken.
    """
    connection = transaction.get_connection(router.db_for_write(InboxEvent))
    connection.validate_no_broken_transaction()
    if connection.vendor == "postgresql" and connection.connection.info.transaction_status == _IN_ERROR:
        raise transaction.TransactionManagementError(
            "The microworkflow caught a database error without a savepoint of its own, so nothing that it wrote can "
            "be kept. Put `with transaction.atomic():` around the statement that may fail."
        )
