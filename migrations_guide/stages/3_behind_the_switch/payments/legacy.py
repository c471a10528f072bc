"""The steps of payments as the monolith does them: by its old functions, and the events that they stand for."""

from django.utils.translation import gettext

from microworkflows.cutover import legacy
from orders.models import Order
from orders.operations import PlaceOrderError
from payments import billing
from payments.events import OrderAccepted, OutOfStock, PaymentDeclined, PaymentReceived, PaymentRefunded
from payments.gateway import GatewayUnavailableError
from payments.models import Payment
from payments.workflows import refund_payment, take_payment


@legacy(take_payment)
def charge(event: OrderAccepted) -> PaymentReceived | PaymentDeclined:
    """Charge the order as before; with no answer from the provider it stays a draft, as before."""
    order = Order.objects.get(pk=event.order_id)
    try:
        payment = billing.charge(order)
    except GatewayUnavailableError as error:
        raise PlaceOrderError(
            gettext(
                "The payment provider does not answer, so %(order)s is still a draft. Place it again in a minute: "
                "should the money have been taken after all, it will not be taken twice."
            ),
            code="gateway_unavailable",
            params={"order": order},
        ) from error
    if payment.state == Payment.State.DECLINED:
        return PaymentDeclined(order_id=order.pk, reason=payment.decline_reason)
    return PaymentReceived(
        order_id=order.pk,
        amount=payment.amount,
        currency=payment.currency,
        payment_reference=payment.reference,
    )


@legacy(refund_payment)
def refund(event: OutOfStock) -> PaymentRefunded:
    """Give the order's money back as before."""
    payment = billing.refund(Order.objects.get(pk=event.order_id))
    return PaymentRefunded(
        order_id=event.order_id,
        amount=payment.amount,
        currency=payment.currency,
        refund_reference=payment.refund_reference,
    )
