"""Microworkflows of orders: what other contexts did moves the order on, or ends it."""

from datetime import timedelta

from microworkflows import deadline, microworkflow
from orders import operations
from orders.events import (
    ItemsReserved,
    OrderAccepted,
    PaymentDeclined,
    PaymentReceived,
    PaymentRefunded,
    ShipmentScheduled,
)


@microworkflow(on=PaymentReceived)
def mark_paid(event: PaymentReceived) -> None:
    """The order is paid."""
    operations.mark_paid(order_id=event.order_id)


@microworkflow(on=ItemsReserved)
def mark_reserved(event: ItemsReserved) -> None:
    """The goods are set aside."""
    operations.mark_reserved(order_id=event.order_id)


@deadline(ShipmentScheduled, within=timedelta(minutes=5), of=OrderAccepted)
@microworkflow(on=ShipmentScheduled)
def mark_shipped(event: ShipmentScheduled) -> None:
    """The parcel is on its way: the order ends well."""
    operations.mark_shipped(order_id=event.order_id)


@microworkflow(on=PaymentDeclined)
def cancel_declined(event: PaymentDeclined) -> None:
    """No money, no order."""
    operations.cancel_declined(order_id=event.order_id, note=event.reason)


@microworkflow(on=PaymentRefunded)
def cancel_refunded(event: PaymentRefunded) -> None:
    """The goods were not there and the money went back."""
    operations.cancel_refunded(order_id=event.order_id)
