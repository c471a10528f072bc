"""The outbox: events are recorded in the transaction of the change they tell of; the relay does the rest."""

import logging
from collections.abc import Iterable, Sequence

from django.db import router, transaction
from django.utils import timezone

from microworkflows import tracing, wakeup
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.errors import TransactionRequiredError, UndeclaredEventError
from microworkflows.events import DomainEvent
from microworkflows.ids import uuid7
from microworkflows.models import DUE_AT_ONCE, OutboxEvent

logger = logging.getLogger(__name__)


def record(event: DomainEvent, *, correlation_id: str | None = None) -> Metadata:
    """Record an event, so that it is published if and only if the current transaction commits.

    For where a flow begins, such as an order being accepted. What a microworkflow emits it returns instead.

    Args:
        event: What happened.
        correlation_id: Identifies the flow that begins; by default the event's own id. A key that the business
            knows, such as the order's, makes the flow easy to find.

    Returns:
        The envelope that the event travels in.

    Raises:
        TransactionRequiredError: there is no transaction.
        UndeclaredEventError: a microworkflow is running that does not declare this event.
    """
    return record_all([event], correlation_id=correlation_id)[0]


def record_all(events: Sequence[DomainEvent], *, correlation_id: str | None = None) -> list[Metadata]:
    """Record several events in one statement, in this order; see :func:`record`."""
    if not events:
        return []
    connection = transaction.get_connection(router.db_for_write(OutboxEvent))
    if not connection.in_atomic_block:
        names = ", ".join(type(event).__qualname__ for event in events)
        raise TransactionRequiredError(
            f"{names} was recorded outside a transaction. Record an event together with the change it tells of: "
            "put both into one `with transaction.atomic():` block."
        )
    recorded = [_envelope(event, correlation_id) for event in events]
    cause = tracing.cause()
    OutboxEvent.objects.using(connection.alias).bulk_create(
        OutboxEvent(
            pk=envelope.meta.id,
            version=envelope.meta.type.rpartition(".")[2],
            destination=envelope.meta.type,
            body=envelope.to_dict(),
            expires_at=DUE_AT_ONCE,
            status=OutboxEvent.Status.PENDING,
            headers={"microworkflow": cause.workflow if cause else None},
        )
        for envelope in recorded
    )
    for context in {envelope.meta.type.partition(".")[0] for envelope in recorded}:
        wakeup.notify_on_commit(connection, context)
    for envelope in recorded:
        logger.info(
            "recorded %s %s correlation=%s",
            envelope.meta.type,
            envelope.meta.id,
            envelope.meta.correlation_id,
        )
    return [envelope.meta for envelope in recorded]


def relay_again(rows: Iterable[OutboxEvent]) -> int:
    """Make unheard events pending again, say after the queue that was missing has been declared.

    Returns:
        How many there were; rows that are not unheard stay as they are.
    """
    return OutboxEvent.objects.filter(
        pk__in=[row.pk for row in rows], status=OutboxEvent.Status.UNHEARD
    ).update(status=OutboxEvent.Status.PENDING, expires_at=DUE_AT_ONCE)


def _envelope(event: DomainEvent, correlation_id: str | None) -> CloudEvent:
    if not isinstance(event, DomainEvent):
        raise TypeError(
            f"{type(event).__qualname__} is a reading of another context's event; record a DomainEvent."
        )
    event_type, event_id, cause = event.event_type, uuid7(), tracing.cause()
    if cause is not None and event_type not in cause.emits:
        raise UndeclaredEventError(
            f"{cause.workflow} recorded {event_type} without declaring it. Return the event from the microworkflow "
            "and name its class in emits=[...]."
        )
    return CloudEvent(
        meta=Metadata(
            id=event_id,
            source=f"/{event_type.partition('.')[0]}",
            type=event_type,
            time=timezone.now(),
            correlation_id=cause.correlation_id if cause else correlation_id or str(event_id),
            causation_id=cause.event_id if cause else None,
            traceparent=tracing.next_traceparent(),
        ),
        data=event.model_dump(mode="json"),
    )
