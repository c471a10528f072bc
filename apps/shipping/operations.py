"""Writes of shipping: note where an order goes, and schedule its parcel once everything is set aside, or forget it."""

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.db import transaction

from shipping import carriers
from shipping.events import ShipmentScheduled, ShipTo
from shipping.models import Destination, Shipment

logger = logging.getLogger(__name__)


@transaction.atomic(savepoint=False)
def note_addresses(*, addresses: Mapping[UUID, ShipTo], at: datetime) -> dict[UUID, ShipmentScheduled]:
    """Keep where orders go; schedule the parcels of those for which everything is set aside already.

    Returns:
        What to announce, by order; nothing of those whose items are awaited, and of those for which this is no news.
    """
    noted = []
    for destination in _locked_destinations(addresses):
        order_id = destination.order_id
        if destination.noted or destination.dropped:
            logger.info("The address of order %s is known, or was dropped; not noted again.", order_id)
            continue
        address = addresses[order_id]
        destination.noted = True
        destination.name, destination.street = address.name, address.street
        destination.postcode, destination.city = address.postcode, address.city
        destination.country = address.country
        noted.append(destination)
    fields = ["noted", "name", "street", "postcode", "city", "country"]
    Destination.objects.bulk_update(noted, fields)
    return _schedule_when_ready(noted, at=at)


@transaction.atomic(savepoint=False)
def note_items(*, order_ids: Collection[UUID], at: datetime) -> dict[UUID, ShipmentScheduled]:
    """Keep that everything ordered is set aside; schedule the parcels of those whose address is known already.

    Returns:
        What to announce, by order; nothing of those whose address is awaited, and of those for which this is no news.
    """
    ready = []
    for destination in _locked_destinations(order_ids):
        order_id = destination.order_id
        if destination.dropped:
            logger.warning("Order %s goes nowhere, yet its items are set aside.", order_id)
        elif destination.ready:
            logger.info("The items of order %s are known to be set aside; not noted again.", order_id)
        else:
            destination.ready = True
            ready.append(destination)
    Destination.objects.filter(pk__in=[destination.pk for destination in ready]).update(ready=True)
    return _schedule_when_ready(ready, at=at)


@transaction.atomic(savepoint=False)
def forget_address(*, order_id: UUID) -> None:
    """Drop the address of an order that goes nowhere; what remains says so, should the address come later."""
    (destination,) = _locked_destinations([order_id])
    if destination.ready:
        logger.warning("The items of order %s are set aside; its address is kept.", order_id)
        return
    destination.noted, destination.dropped = False, True
    destination.name = destination.street = destination.postcode = destination.city = destination.country = ""
    destination.save()


def _schedule_when_ready(
    destinations: Iterable[Destination], *, at: datetime
) -> dict[UUID, ShipmentScheduled]:
    shipments = Shipment.objects.bulk_create(
        Shipment(
            order_id=destination.order_id,
            destination=destination,
            carrier=carriers.choose(country=destination.country),
            tracking_number=carriers.tracking_number(serial=destination.pk),
            scheduled_at=at,
        )
        for destination in destinations
        if destination.noted and destination.ready
    )
    return {
        shipment.order_id: ShipmentScheduled(
            order_id=shipment.order_id,
            carrier=shipment.get_carrier_display(),
            tracking_number=shipment.tracking_number,
        )
        for shipment in shipments
    }


def _locked_destinations(order_ids: Collection[UUID]) -> list[Destination]:
    """Return the destinations of orders, locked in the order of their ids; one that is not there is made."""
    rows = Destination.objects.select_for_update().filter(order_id__in=order_ids).order_by("order_id")
    found = list(rows)
    if missing := sorted(set(order_ids) - {destination.order_id for destination in found}):
        made = [Destination(order_id=order_id) for order_id in missing]
        Destination.objects.bulk_create(made, ignore_conflicts=True)  # another process may have been quicker
        found = list(rows.all())
    return found
