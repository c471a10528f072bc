"""The steps of shipping as the monolith does them: by its old function, and the event that this stands for."""

from typing import Any

from django.db.models import QuerySet

from microworkflows.cutover import legacy
from orders.models import Order
from shipping import dispatch
from shipping.events import ItemsReserved, ShipmentScheduled
from shipping.models import Destination, Shipment
from shipping.workflows import schedule_shipment


def parcel_of(event: ItemsReserved) -> list[QuerySet[Any]]:
    """Return what a shadow run compares."""
    return [
        Destination.objects.filter(order=event.order_id),
        Shipment.objects.filter(order=event.order_id),
    ]


@legacy(schedule_shipment, observe=parcel_of, noise=["shipping.Shipment.scheduled_at"])
def ship(event: ItemsReserved) -> ShipmentScheduled:
    """Hand the order's parcel to the carrier as before."""
    shipment = dispatch.ship(Order.objects.get(pk=event.order_id))
    return ShipmentScheduled(
        order_id=event.order_id,
        carrier=shipment.get_carrier_display(),
        tracking_number=shipment.tracking_number,
    )
