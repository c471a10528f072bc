"""Writes of shipping: note where an order goes, and schedule its parcel once everything is set aside, or forget it."""

import logging
from datetime import datetime
from uuid import UUID

from django.db import transaction

from shipping import carriers
from shipping.events import ShipmentScheduled, ShipTo
from shipping.models import Destination, Shipment

logger = logging.getLogger(__name__)


@transaction.atomic
def note_address(*, order_id: UUID, address: ShipTo, at: datetime) -> ShipmentScheduled | None:
    """Keep where an order goes; schedule its parcel, if everything is set aside already.

    Returns:
        What to announce; None while the items are awaited, and when this is no news.
    """
    destination = _locked_destination(order_id)
    if destination.noted or destination.dropped:
        logger.info("The address of order %s is known, or was dropped; not noted again.", order_id)
        return None
    destination.noted = True
    destination.name, destination.street = address.name, address.street
    destination.postcode, destination.city = address.postcode, address.city
    destination.country = address.country
    destination.save()
    return _schedule_when_ready(destination, at=at)


@transaction.atomic
def note_items(*, order_id: UUID, at: datetime) -> ShipmentScheduled | None:
    """Keep that everything ordered is set aside; schedule the parcel, if the address is known already.

    Returns:
        What to announce; None while the address is awaited, and when this is no news.
    """
    destination = _locked_destination(order_id)
    if destination.dropped:
        logger.warning("Order %s goes nowhere, yet its items are set aside.", order_id)
        return None
    if destination.ready:
        logger.info("The items of order %s are known to be set aside; not noted again.", order_id)
        return None
    destination.ready = True
    destination.save()
    return _schedule_when_ready(destination, at=at)


@transaction.atomic
def forget_address(*, order_id: UUID) -> None:
    """Drop the address of an order that goes nowhere; what remains says so, should the address come later."""
    destination = _locked_destination(order_id)
    if destination.ready:
        logger.warning("The items of order %s are set aside; its address is kept.", order_id)
        return
    destination.noted, destination.dropped = False, True
    destination.name = destination.street = destination.postcode = destination.city = destination.country = ""
    destination.save()


def _schedule_when_ready(destination: Destination, *, at: datetime) -> ShipmentScheduled | None:
    if not (destination.noted and destination.ready):
        return None
    shipment = Shipment.objects.create(
        order_id=destination.order_id,
        destination=destination,
        carrier=carriers.choose(country=destination.country),
        tracking_number=carriers.tracking_number(serial=destination.pk),
        scheduled_at=at,
    )
    return ShipmentScheduled(
        order_id=shipment.order_id,
        carrier=shipment.get_carrier_display(),
        tracking_number=shipment.tracking_number,
    )


def _locked_destination(order_id: UUID) -> Destination:
    destination, _ = Destination.objects.select_for_update().get_or_create(order_id=order_id)
    return destination
