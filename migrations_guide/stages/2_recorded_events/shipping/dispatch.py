"""Sends orders on their way."""

from django.db import transaction
from django.utils import timezone

from orders.models import Order
from shipping import carriers
from shipping.models import Destination, Shipment


@transaction.atomic
def ship(order: Order) -> Shipment:
    """Hand an order's parcel to the carrier for its country, and return the shipment."""
    destination = Destination.objects.create(
        order=order,
        name=order.customer_name,
        street=order.street,
        postcode=order.postcode,
        city=order.city,
        country=order.country,
    )
    return Shipment.objects.create(
        order=order,
        destination=destination,
        carrier=carriers.choose(country=destination.country),
        tracking_number=carriers.tracking_number(serial=destination.pk),
        scheduled_at=timezone.now(),
    )
