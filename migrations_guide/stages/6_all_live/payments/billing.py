"""Takes the money for orders, and gives it back."""

from django.utils import timezone

from orders.models import Order
from payments import gateway
from payments.models import Payment


def charge(order: Order) -> Payment:
    """Collect an order's total through the gateway, and return the payment: received or declined.

    The order's id is the idempotency key: charged anew after a rollback, the customer still pays once.

    Raises:
        GatewayUnavailableError: the gateway has no answer.
    """
    assert order.total is not None
    # The row comes first: one payment per order, before any money moves.
    payment = Payment.objects.create(
        order=order,
        idempotency_key=order.pk,
        amount=order.total,
        currency=order.currency,
        taken_at=timezone.now(),
    )
    answer = gateway.configured().charge(
        idempotency_key=payment.idempotency_key,
        amount=payment.amount,
        currency=payment.currency,
        token=order.payment_token,
    )
    if isinstance(answer, gateway.Declined):
        payment.state, payment.decline_reason = Payment.State.DECLINED, answer.reason
    else:
        payment.state, payment.reference = Payment.State.RECEIVED, answer.reference
    payment.save()
    return payment


def refund(order: Order) -> Payment:
    """Give an order's money back through the gateway, and return the payment: refunded.

    Raises:
        GatewayUnavailableError: the gateway has no answer.
    """
    payment = Payment.objects.select_for_update().get(order=order, state=Payment.State.RECEIVED)
    answer = gateway.configured().refund(
        idempotency_key=payment.idempotency_key,
        reference=payment.reference,
        amount=payment.amount,
        currency=payment.currency,
    )
    payment.state, payment.refunded_at = Payment.State.REFUNDED, timezone.now()
    payment.refund_reference = answer.reference
    payment.save()
    return payment
