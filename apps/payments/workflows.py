"""Microworkflows of payments: an accepted order is charged or given up in time, an unfillable one is refunded."""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from microworkflows import Breaker, Later, microworkflow
from payments import operations
from payments.events import (
    OrderAccepted,
    OutOfStock,
    PaymentDeclined,
    PaymentOverdue,
    PaymentReceived,
    PaymentRefunded,
)
from payments.gateway import GatewayAwayError

DEFAULT_PAY_WITHIN = timedelta(minutes=15)

_AWAY = Breaker(errors=[GatewayAwayError])


@microworkflow(on=OrderAccepted, emits=[PaymentReceived, PaymentDeclined], breaker=_AWAY)
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


@microworkflow(on=OrderAccepted, emits=[PaymentOverdue], many=True)
def await_payment(events: Sequence[OrderAccepted]) -> list[Later]:
    """Wait no longer for each payment than the setting ``PAY_WITHIN`` says (a timedelta; 15 minutes by default)."""
    window = getattr(settings, "PAY_WITHIN", DEFAULT_PAY_WITHIN)
    return [
        Later(
            PaymentOverdue(
                order_id=event.order_id, amount=event.total, currency=event.currency, charge=event.meta.id
            ),
            window,
            unless=[PaymentReceived, PaymentDeclined],
        )
        for event in events
    ]


@microworkflow(on=PaymentOverdue, emits=[PaymentDeclined], breaker=_AWAY)
def give_up_payment(event: PaymentOverdue) -> PaymentDeclined | None:
    """Take no money any more."""
    return operations.give_up_payment(
        order_id=event.order_id,
        amount=event.amount,
        currency=event.currency,
        charge=event.charge,
        at=timezone.now(),
    )


@microworkflow(on=OutOfStock, emits=[PaymentRefunded], breaker=_AWAY)
def refund_payment(event: OutOfStock) -> PaymentRefunded | None:
    """Give the money back; the event's id is the idempotency key."""
    return operations.refund_payment(
        order_id=event.order_id, idempotency_key=event.meta.id, at=timezone.now()
    )
