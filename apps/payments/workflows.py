"""Microworkflows of payments: an accepted order is charged, an unfillable one is refunded."""

from django.utils import timezone

from microworkflows import microworkflow
from payments import operations
from payments.events import OrderAccepted, OutOfStock, PaymentDeclined, PaymentReceived, PaymentRefunded


@microworkflow(on=OrderAccepted, emits=[PaymentReceived, PaymentDeclined])
def take_payment(event: OrderAccepted) -> PaymentReceived | PaymentDeclined | None:
    """Collect the order's total; the event's id is the idempotency key."""
    return operations.take_payment(
        order_id=event.order_id,
        amount=event.total,
        currency=event.currency,
        token=event.payment_token,
        idempotency_key=event.meta.id,
        at=timezone.now(),
    )


@microworkflow(on=OutOfStock, emits=[PaymentRefunded])
def refund_payment(event: OutOfStock) -> PaymentRefunded | None:
    """Give the money back; the event's id is the idempotency key."""
    return operations.refund_payment(
        order_id=event.order_id, idempotency_key=event.meta.id, at=timezone.now()
    )
