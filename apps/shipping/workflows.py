"""Microworkflows of shipping: an address and a reservation become a shipment, in either order."""

from django.utils import timezone

from microworkflows import microworkflow
from shipping import operations
from shipping.events import ItemsReserved, OrderAccepted, ShipmentScheduled


@microworkflow(on=OrderAccepted, emits=[ShipmentScheduled])
def note_address(event: OrderAccepted) -> ShipmentScheduled | None:
    """Keep the address; schedule the shipment, if the reservation was faster."""
    return operations.note_address(order_id=event.order_id, address=event.ship_to, at=timezone.now())


@microworkflow(on=ItemsReserved, emits=[ShipmentScheduled])
def schedule_shipment(event: ItemsReserved) -> ShipmentScheduled | None:
    """Schedule the shipment of what is set aside."""
    return operations.note_items(order_id=event.order_id, at=timezone.now())
