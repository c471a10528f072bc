"""Recording: events become rows of the outbox, in the transaction of the state change they announce."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from microworkflows import (
    bounds,
    causes,
    conf,
    flows,
    logs,
    past,
    registry,
    rows,
    sensitive,
    subjects,
    times,
    wakeup,
)
from microworkflows.causes import Cause
from microworkflows.cloudevents import CloudEvent, Metadata, context_of
from microworkflows.errors import (
    InvalidCloudEventError,
    InvalidSubjectError,
    TooManyHopsError,
    TransactionRequiredError,
    UndeclaredEventError,
    UnrecordableEventError,
)
from microworkflows.events import DomainEvent, in_all_versions
from microworkflows.ids import uuid7, uuid7_at
from microworkflows.models import DUE_AT_ONCE, Header, OutboxEvent
from microworkflows.subjects import About, Subject
from microworkflows.timers import Later, event_of

logger = logging.getLogger(__name__)

_INSERTED_AT_ONCE = 2_000
"""Number of rows, of nine values each; a statement may hold 32,766 values in SQLite, 65,535 in PostgreSQL."""

_SHORTEST = 3
"""Characters of a sensitive value that prove nothing: a country's code may be any word."""

Marking = Callable[[str], str | None]
"""Takes the correlation id of a flow that begins, returns the flow's mark."""


def record(
    events: Sequence[DomainEvent | Later],
    *,
    about: About | None = None,
    correlation_id: object = None,
    marking: Marking | None = None,
) -> list[CloudEvent]:
    """Record events in this order, in one statement (in several if there are very many).

    Args:
        events: The facts to announce, now or later.
        about: The object that the flow that begins is about; ignored while a microworkflow runs, because its flow goes on.
        correlation_id: Id of the flow that begins, taken as text; by default it is made of ``about``, else the event's id.
            Ignored, too, while a microworkflow runs.
        marking: Marks the flow that begins, in place of the router.

    Returns:
        The events as they will travel, each in all its versions, the newest first.

    Raises:
        TransactionRequiredError: no transaction is open.
        UndeclaredEventError: a microworkflow is running that does not declare one of them, or that takes many events.
        UnrecordableEventError: one is too large or too deep, a field holds what no database can store, or ``about`` or
            ``correlation_id`` names no flow.
        TooManyHopsError: too many events have caused each other.
    """
    if not events:
        return []
    cause = causes.cause()
    if cause is not None and cause.many:
        raise UndeclaredEventError(
            f"{cause.workflow} takes many events at once, so what it records has no one cause. Return {event_of(events[0]).event_type} from the "
            "microworkflow, in the place of the event that causes it."
        )
    recorded = prepare(events, about=about, correlation_id=correlation_id, marking=marking)
    if cause is not None and cause.rehearsal is not None:
        cause.rehearsal.extend(map(event_of, events))
    else:
        store([(event, cause.workflow if cause else None) for event in recorded])
        if cause is not None:
            _note_on_commit(cause, recorded)
    return recorded


def _note_on_commit(cause: Cause, recorded: Sequence[CloudEvent]) -> None:
    """Note with their cause the events that a microworkflow recorded, but for those of a savepoint that it rolls back."""
    ids = [event.meta.id for event in recorded if event.meta.is_newest and not event.meta.is_timer]
    transaction.on_commit(lambda: cause.recorded.extend(ids), using=_connection().alias)


def prepare(
    events: Sequence[DomainEvent | Later],
    *,
    about: About | None = None,
    correlation_id: object = None,
    marking: Marking | None = None,
) -> list[CloudEvent]:
    """Return events as they will travel, to be stored in the current transaction; see :func:`record`."""
    if events and not _in_transaction(_connection()):
        names = ", ".join(type(event_of(each)).__qualname__ for each in events)
        raise TransactionRequiredError(
            f"{names} was recorded outside a transaction. Record an event together with the change it tells of: "
            "put both into one `with transaction.atomic():` block."
        )
    cause = causes.cause()
    marking = functools.cache(marking or flows.router.mark)  # events of one flow bear one mark
    return [
        version
        for event in events
        for version in _in_all_versions(event, cause, about, correlation_id, marking)
    ]


def store(recorded: Sequence[tuple[CloudEvent, str | None]]) -> None:
    """Put events into the outbox, each with the label of the microworkflow that emitted it, if one did."""
    connection, now = _connection(), times.now()
    outbox = [
        {
            "id": event.meta.own_id,
            "version": event.meta.type.rpartition(".")[2],
            "destination": event.meta.type,
            "body": _text(event),
            **_standing(event, now),
            "retry": 0,
            "headers": {
                Header.MICROWORKFLOW: workflow,
                Header.LISTENERS: _listening(event),
                **({Header.UNLESS: list(event.unless)} if event.unless else {}),
                **_begins(event),
            },
        }
        for event, workflow in recorded
    ]
    for start in range(0, len(outbox), _INSERTED_AT_ONCE):
        rows.insert(connection, OutboxEvent._meta.db_table, outbox[start : start + _INSERTED_AT_ONCE])
    with_timer = {event.meta.context for event, _ in recorded if event.meta.is_timer}
    for context in {event.meta.context for event, _ in recorded}:
        wakeup.notify_on_commit(connection, context, payload=wakeup.TIMER if context in with_timer else "")
    for event, workflow in recorded:
        logger.info("recorded %s", event, extra=logs.fields(event.meta, consumer=workflow))


def _standing(event: CloudEvent, now: datetime) -> dict[str, Any]:
    """Return the status and times of the row.

    That of a timer is as if it were recorded when it is due: whatever looks for events by their time finds it then, and not before.
    """
    if event.meta.is_timer:
        due_at = times.stored(event.meta.time)
        return {"added": due_at, "expires_at": due_at, "status": int(OutboxEvent.Status.SCHEDULED)}
    due_at = times.stored(DUE_AT_ONCE)
    return {"added": now, "expires_at": due_at, "status": int(OutboxEvent.Status.PENDING)}


def _listening(event: CloudEvent) -> Mapping[str, bool]:
    """Return the labels of the microworkflows that are to get an event: of those that listen, one of the past is for a few."""
    listening, mark = registry.listening(event.meta.type), event.meta.mark
    return (
        {label: True for label in listening if past.is_for(label, mark)} if past.is_mark(mark) else listening
    )


def _begins(event: CloudEvent) -> dict[str, Any]:
    """Return the header by which a flow is found, which the row of its first event alone has: one entry in an index each."""
    subject = event.meta.subject
    if subject is None or event.meta.causation_id is not None:
        return {}
    name = {"name": subject.name} if subject.name else {}
    return {Header.SUBJECT: {"kind": subject.kind, "key": subject.key, **name}}


def _text(event: CloudEvent) -> str:
    """Return an event as JSON, so that what could neither be sent nor stored is told where it is recorded."""
    try:
        return bounds.json_text(event.to_dict())
    except InvalidCloudEventError as error:
        raise UnrecordableEventError(f"{event.meta.type} cannot be recorded: {error}") from error


def is_possible() -> bool:
    """Return True in a transaction, in which alone an event can be recorded."""
    return _in_transaction(_connection())


def _in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return True in a transaction. The one that a TestCase opens does not count: nobody opens it outside tests."""
    blocks: list[Any] = getattr(connection, "atomic_blocks", [])
    is_test = all(
        getattr(block, "_from_testcase", False) for block in blocks
    )  # private, but Django has no other mark
    return connection.in_atomic_block and not (blocks and is_test)


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(OutboxEvent)]


def _flow(event_type: str, key: object) -> str:
    """Return a key of the business as the id of a flow."""
    if isinstance(key, Model) or not str(key):
        raise UnrecordableEventError(
            f"{event_type} cannot be recorded: correlation_id is {key!r}. Pass the object as about=, or a key, such as the "
            "order's number or its pk, once it is known."
        )
    try:
        bounds.check_text("correlationid", str(key))
    except InvalidCloudEventError as error:
        raise UnrecordableEventError(f"{event_type} cannot be recorded: {error}") from error
    return str(key)


def _subject(event: DomainEvent, about: About, data: dict[str, Any]) -> Subject:
    """Return the subject of a flow that begins with an event.

    Attributes of an event are shown to everybody, so no field that the event calls sensitive may become one. A value that
    could be another's by chance, such as a number, proves nothing.
    """
    event_type = event.event_type
    try:
        subject = subjects.of(about)
    except InvalidSubjectError as error:
        raise UnrecordableEventError(
            f"{event_type} cannot be recorded, because no flow can be about this: {error}"
        ) from error
    for value in sensitive.values(data, sensitive.tree(type(event))):
        if value in (subject.key, subject.name) and len(value) > _SHORTEST and not value.isdecimal():
            raise UnrecordableEventError(
                f"{event_type} cannot be recorded: {'key' if value == subject.key else 'name'} of what the flow is about is "
                "the value of a field that the event declares as Sensitive. Both are shown in lists and logs: take another, such "
                "as a number."
            )
    return subject


def _in_all_versions(
    given: DomainEvent | Later,
    cause: Cause | None,
    about: About | None,
    correlation_id: object,
    marking: Marking,
) -> list[CloudEvent]:
    """Return an event with what it was in the versions before, the newest first, so that the relay sends that first.

    The fact goes by the id of the oldest: an inbox whose code knows that version alone has the event by the same key.
    """
    event, later = event_of(given), given if isinstance(given, Later) else None
    if not isinstance(event, DomainEvent):
        raise TypeError(
            f"{type(event).__qualname__} is a reading of another context's event; record a DomainEvent."
        )
    due_at = later.due_at if later else None
    new_id = functools.partial(uuid7_at, due_at) if due_at else uuid7
    own_id = new_id()
    before = in_all_versions(event)[1:]
    ids = sorted([own_id, *(new_id() for _ in before)])
    newest = _envelope(event, cause, about, correlation_id, marking, event_id=ids[-1], due_at=due_at)
    newest = replace(newest, unless=later.cancelled_by) if later else newest
    if not before:
        return [newest]
    types = (newest.meta.type, *(each.event_type for each in before))
    payloads = [newest.data, *map(sensitive.payload, before)]
    return [
        replace(
            newest,
            meta=replace(
                newest.meta, type=type, versions=types, original_id=None if own_id == ids[-1] else str(own_id)
            ),
            data=data,
        )
        for own_id, type, data in zip(ids, types, payloads, strict=True)
    ]


def _envelope(
    event: DomainEvent,
    cause: Cause | None,
    about: About | None,
    correlation_id: object,
    marking: Marking,
    *,
    event_id: UUID,
    due_at: datetime | None,
) -> CloudEvent:
    if "event_type" not in vars(type(event)):
        raise UndeclaredEventError(
            f"{type(event).__qualname__} has no type of its own, so nobody could listen to it. Declare it as "
            f'class {type(event).__name__}(DomainEvent, type="context.past_tense_fact.v1").'
        )
    event_type = event.event_type
    if cause is not None and event_type not in cause.emits:
        raise UndeclaredEventError(
            f"{cause.workflow} recorded {event_type} without declaring it. Return the event from the microworkflow "
            "and name its class in emits=[...]."
        )
    data = sensitive.payload(event)
    if cause is not None:
        flow, subject = cause.correlation_id, cause.subject
        if cause.hops >= conf.current().max_hops:
            raise TooManyHopsError(
                f"{cause.workflow} is to record {event_type} after {cause.hops} events that caused each other: the flow most "
                "likely goes round in a circle. Find the microworkflow that should emit nothing (manage.py check names "
                "circles), or raise MICROWORKFLOWS['MAX_HOPS'], and replay this message."
            )
    else:
        subject = None if about is None else _subject(event, about, data)
        flow = str(subject or event_id) if correlation_id is None else _flow(event_type, correlation_id)
    meta = Metadata(
        id=event_id,
        source=f"/{context_of(event_type)}",
        type=event_type,
        time=due_at or datetime.now(UTC),
        correlation_id=flow,
        causation_id=cause.event_id if cause else None,
        traceparent=causes.next_traceparent(),
        subject=subject,
        mark=cause.mark if cause else marking(flow),
        hops=cause.hops + 1 if cause else 0,
        is_timer=due_at is not None,
    )
    if cause is not None and cause.rehearsal is not None:
        return CloudEvent(meta=meta, data=data)
    meta, extensions = flows.traced(meta)
    return CloudEvent(meta=meta, data=data, extensions=extensions)
