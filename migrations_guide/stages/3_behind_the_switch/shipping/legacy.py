"""The steps of shipping as the monolith does them: by its old function, and the event that this stands for."""

from microworkflows.cutover import legacy
from orders.models import Order
from shipping import dispatch
from shipping.events import ItemsReserved, ShipmentScheduled
from shipping.workflows import schedule_shipment


@legacy(schedule_shipment)
def ship(event: ItemsReserved) -> ShipmentScheduled:
    """Hand the order's parcel to the carrier as before."""
    shipment = dispatch.ship(Order.objects.get(pk=event.order_id))
    return ShipmentScheduled(
        order_id=event.order_id,
        carrier=shipment.get_carrier_display(),
        tracking_number=shipment.tracking_number,
    )
