"""Sends orders on their way."""

from django.db import transaction
from django.utils import timezone

from orders.models import Order
from shipping import carriers
from shipping.models import Destination, Shipment


@transaction.atomic
def ship(order: Order) -> Shipment:
    """Hand an order's parcel to the carrier for its country, and return the shipment."""
    destination, _ = Destination.objects.get_or_create(order=order)
    destination.noted = destination.ready = True
    destination.name, destination.street = order.customer_name, order.street
    destination.postcode, destination.city = order.postcode, order.city
    destination.country = order.country
    destination.save()
    return Shipment.objects.create(
        order=order,
        destination=destination,
        carrier=carriers.choose(country=destination.country),
        tracking_number=carriers.tracking_number(serial=destination.pk),
        scheduled_at=timezone.now(),
    )
