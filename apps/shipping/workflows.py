"""Microworkflows of shipping: an address and a reservation become a shipment, in either order, or the address goes."""

from django.utils import timezone

from microworkflows import microworkflow
from shipping import operations
from shipping.events import ItemsReserved, OrderAccepted, OutOfStock, PaymentDeclined, ShipmentScheduled


@microworkflow(on=OrderAccepted, emits=[ShipmentScheduled])
def note_address(event: OrderAccepted) -> ShipmentScheduled | None:
    """Keep the address; schedule the shipment, if the reservation was faster."""
    return operations.note_address(order_id=event.order_id, address=event.ship_to, at=timezone.now())


@microworkflow(on=ItemsReserved, emits=[ShipmentScheduled])
def schedule_shipment(event: ItemsReserved) -> ShipmentScheduled | None:
    """Schedule the shipment of what is set aside."""
    return operations.note_items(order_id=event.order_id, at=timezone.now())


@microworkflow(on=PaymentDeclined)
def forget_declined(event: PaymentDeclined) -> None:
    """Nobody pays, so nothing is sent: drop the address."""
    operations.forget_address(order_id=event.order_id)


@microworkflow(on=OutOfStock)
def forget_out_of_stock(event: OutOfStock) -> None:
    """The goods are not there, so nothing is sent: drop the address."""
    operations.forget_address(order_id=event.order_id)
