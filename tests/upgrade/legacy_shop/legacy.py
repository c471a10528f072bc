"""Legacy steps of payments: what the new microworkflows do, except for the words with which a card is declined."""

from typing import Any

from microworkflows.cutover import legacy
from payments.events import OrderAccepted, OutOfStock, PaymentDeclined
from payments.models import Payment
from payments.workflows import refund_payment, take_payment

NOISE = ["payments.Payment.taken_at", "payments.Payment.refunded_at"]


def _payments(event: OrderAccepted | OutOfStock) -> list[Any]:
    return [Payment.objects.filter(order_id=event.order_id)]


@legacy(take_payment, observe=_payments, noise=NOISE)
def charge(event: OrderAccepted) -> Any:
    announced = take_payment(event)
    if isinstance(announced, PaymentDeclined):
        return PaymentDeclined(order_id=event.order_id, reason="the bank said no")
    return announced


legacy(refund_payment, observe=_payments, noise=NOISE)(refund_payment.function)
