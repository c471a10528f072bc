"""Microworkflows of shipping: an address and a reservation become a shipment, in either order, or the address goes."""

from collections.abc import Sequence

from django.utils import timezone

from microworkflows import microworkflow
from shipping import operations
from shipping.events import ItemsReserved, OrderAccepted, OutOfStock, PaymentDeclined, ShipmentScheduled


@microworkflow(on=OrderAccepted, emits=[ShipmentScheduled], many=True)
def note_address(events: Sequence[OrderAccepted]) -> list[ShipmentScheduled | None]:
    """Keep each address; schedule the shipment, if the reservation was faster."""
    addresses = {event.order_id: event.ship_to for event in events}
    scheduled = operations.note_addresses(addresses=addresses, at=timezone.now())
    return [scheduled.get(event.order_id) for event in events]


@microworkflow(on=ItemsReserved, emits=[ShipmentScheduled], many=True)
def schedule_shipment(events: Sequence[ItemsReserved]) -> list[ShipmentScheduled | None]:
    """Schedule the shipment of what is set aside for each order."""
    scheduled = operations.note_items(order_ids=[event.order_id for event in events], at=timezone.now())
    return [scheduled.get(event.order_id) for event in events]


@microworkflow(on=PaymentDeclined)
def forget_declined(event: PaymentDeclined) -> None:
    """Nobody pays, so nothing is sent: drop the address."""
    operations.forget_address(order_id=event.order_id)


@microworkflow(on=OutOfStock)
def forget_out_of_stock(event: OutOfStock) -> None:
    """The goods are not there, so nothing is sent: drop the address."""
    operations.forget_address(order_id=event.order_id)
