"""Writes of payments: take an order's money, and give it back."""

import logging
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from payments import gateway
from payments.events import PaymentDeclined, PaymentReceived, PaymentRefunded
from payments.models import Payment

logger = logging.getLogger(__name__)

_TOO_LATE = "the payment took too long"
"""For the customer to read."""


class PaymentNotFoundError(LookupError):
    """There is no payment to give back yet; a retry finds it, if it is only late."""


@transaction.atomic(savepoint=False)
def take_payment(
    *, order_id: UUID, amount: Decimal, currency: str, token: str, idempotency_key: UUID, at: datetime
) -> PaymentReceived | PaymentDeclined | None:
    """Collect an order's total through the gateway, once.

    Args:
        idempotency_key: What the gateway knows the charge by; the same in every retry.
        at: The time now.

    Returns:
        What to announce; None when the order has its payment, because that was announced with it.

    Raises:
        GatewayUnavailableError: the gateway has no answer yet; nothing was kept, try again.
    """
    payment = _begin(
        order_id=order_id, amount=amount, currency=currency, idempotency_key=idempotency_key, at=at
    )
    if payment is None:
        return None

    answer = gateway.configured().charge(
        idempotency_key=idempotency_key, amount=amount, currency=currency, token=token
    )
    if isinstance(answer, gateway.Declined):
        return _declined(payment, reason=answer.reason)

    payment.state, payment.reference = Payment.State.RECEIVED, answer.reference
    payment.save()
    return PaymentReceived(
        order_id=order_id, amount=amount, currency=currency, payment_reference=answer.reference
    )


@transaction.atomic(savepoint=False)
def give_up_payment(
    *, order_id: UUID, amount: Decimal, currency: str, charge: UUID, at: datetime
) -> PaymentDeclined | None:
    """Decline an order's payment because it took too long, so that no later answer of the gateway takes the money.

    Args:
        charge: What the gateway knows the charge by that it has not answered.
        at: The time now.

    Returns:
        What to announce; None when the order has its payment.

    Raises:
        GatewayUnavailableError: the gateway cannot be told yet; nothing was kept, try again.
    """
    payment = _begin(order_id=order_id, amount=amount, currency=currency, idempotency_key=charge, at=at)
    if payment is None:
        return None
    gateway.configured().void(idempotency_key=charge)
    return _declined(payment, reason=_TOO_LATE)


@transaction.atomic(savepoint=False)
def refund_payment(*, order_id: UUID, idempotency_key: UUID, at: datetime) -> PaymentRefunded | None:
    """Give an order's money back through the gateway, once.

    Args:
        idempotency_key: What the gateway knows the refund by; the same in every retry.
        at: The time now.

    Returns:
        What to announce; None when nothing is left to give back.

    Raises:
        GatewayUnavailableError: the gateway has no answer yet; nothing was kept, try again.
        PaymentNotFoundError: the order has no payment here.
    """
    payment = Payment.objects.select_for_update().filter(order_id=order_id).first()
    if payment is None:
        raise PaymentNotFoundError(
            f"Order {order_id} has no payment to refund. If its OrderAccepted is waiting or parked, handle that first "
            "and replay this."
        )
    if payment.state != Payment.State.RECEIVED:
        logger.info("%s of order %s is %s; nothing to refund.", payment, order_id, payment.state)
        return None

    answer = gateway.configured().refund(
        idempotency_key=idempotency_key,
        reference=payment.reference,
        amount=payment.amount,
        currency=payment.currency,
    )
    payment.state = Payment.State.REFUNDED
    payment.refund_reference, payment.refunded_at = answer.reference, at
    payment.save()
    return PaymentRefunded(
        order_id=order_id,
        amount=payment.amount,
        currency=payment.currency,
        refund_reference=answer.reference,
    )


def _begin(
    *, order_id: UUID, amount: Decimal, currency: str, idempotency_key: UUID, at: datetime
) -> Payment | None:
    """Return the order's one payment, new; None if it has one."""
    payment = Payment(
        order_id=order_id, idempotency_key=idempotency_key, amount=amount, currency=currency, taken_at=at
    )
    # The row comes first: its unique order id makes a second attempt wait here, before any money moves.
    Payment.objects.bulk_create([payment], ignore_conflicts=True)
    if Payment.objects.filter(pk=payment.pk).exists():
        return payment
    payment = Payment.objects.get(order_id=order_id)
    logger.info("%s of order %s is %s already; left as it is.", payment, order_id, payment.state)
    return None


def _declined(payment: Payment, *, reason: str) -> PaymentDeclined:
    payment.state, payment.decline_reason = Payment.State.DECLINED, reason
    payment.save()
    return PaymentDeclined(order_id=payment.order_id, reason=reason)
