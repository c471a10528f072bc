"""Microworkflows of orders: what other contexts did moves the order on, or ends it."""

from collections.abc import Sequence
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


@microworkflow(on=PaymentReceived, many=True)
def mark_paid(events: Sequence[PaymentReceived]) -> None:
    """Each order is paid."""
    operations.mark_paid(order_ids=[event.order_id for event in events])


@microworkflow(on=ItemsReserved, many=True)
def mark_reserved(events: Sequence[ItemsReserved]) -> None:
    """The goods of each order are set aside."""
    operations.mark_reserved(order_ids=[event.order_id for event in events])


@deadline(ShipmentScheduled, within=timedelta(minutes=5), of=OrderAccepted)
@microworkflow(on=ShipmentScheduled, many=True)
def mark_shipped(events: Sequence[ShipmentScheduled]) -> None:
    """The parcel of each order is on its way: it ends well."""
    operations.mark_shipped(order_ids=[event.order_id for event in events])


@microworkflow(on=PaymentDeclined)
def cancel_declined(event: PaymentDeclined) -> None:
    """No money, no order."""
    operations.cancel_declined(order_id=event.order_id, note=event.reason)


@microworkflow(on=PaymentRefunded)
def cancel_refunded(event: PaymentRefunded) -> None:
    """The goods were not there and the money went back."""
    operations.cancel_refunded(order_id=event.order_id)
