"""Writes of inventory that events lead to: reserve stock for paid orders, and issue it when the parcel leaves.

How stock is counted is in ``inventory.stock`` still.

Locks are always taken in the same order, so that no two transactions wait for each other: first the reservation of
the order, then the stock items by SKU.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from inventory.events import ItemsReserved, MissingLine, OutOfStock, ReservedLine
from inventory.models import Reservation, ReservationLine, StockItem

logger = logging.getLogger(__name__)


class NotReservedError(LookupError):
    """A parcel is to leave with items that are not set aside; a retry helps, if the reservation is only late."""


@transaction.atomic
def note_order(*, order_id: UUID, quantities: Iterable[tuple[str, int]]) -> ItemsReserved | OutOfStock | None:
    """Keep what an order wants, as (SKU, quantity); reserve it, if the order is paid already.

    Returns:
        What to announce; None while the payment is awaited, and when this is no news.
    """
    reservation = _locked_reservation(order_id)
    if reservation.noted or reservation.state != Reservation.State.WAITING:
        logger.info("%s of order %s is %s; not noted again.", reservation, order_id, reservation.state)
        return None
    wanted: Counter[str] = Counter()
    for sku, quantity in quantities:
        wanted[sku] += quantity
    ReservationLine.objects.bulk_create(
        ReservationLine(reservation=reservation, product_id=sku, quantity=quantity)
        for sku, quantity in sorted(wanted.items())
    )
    reservation.noted = True
    return _reserve_when_ready(reservation)


@transaction.atomic
def note_payment(*, order_id: UUID) -> ItemsReserved | OutOfStock | None:
    """Keep that an order is paid; reserve what it wants, if that is known already.

    Returns:
        What to announce; None while the lines are awaited, and when this is no news.
    """
    reservation = _locked_reservation(order_id)
    if reservation.paid or reservation.state != Reservation.State.WAITING:
        logger.info(
            "%s of order %s is %s; payment not noted again.", reservation, order_id, reservation.state
        )
        return None
    reservation.paid = True
    return _reserve_when_ready(reservation)


@transaction.atomic
def forget_order(*, order_id: UUID) -> None:
    """Drop the copy of an order that will not be paid; what remains says so, should its lines come later."""
    reservation = _locked_reservation(order_id)
    if reservation.state == Reservation.State.DROPPED:
        return
    if reservation.state != Reservation.State.WAITING:
        logger.warning("%s of order %s is %s; not dropped.", reservation, order_id, reservation.state)
        return
    reservation.lines.all().delete()
    reservation.state = Reservation.State.DROPPED
    reservation.save()


@transaction.atomic
def issue_items(*, order_id: UUID) -> None:
    """Take an order's reserved items off the shelves, because its parcel leaves; once.

    Raises:
        NotReservedError: nothing is reserved for the order.
    """
    reservation = Reservation.objects.select_for_update().filter(order_id=order_id).first()
    if reservation is not None and reservation.state == Reservation.State.ISSUED:
        logger.info("%s of order %s is issued; not issued again.", reservation, order_id)
        return
    if reservation is None or reservation.state != Reservation.State.RESERVED:
        state = (
            "has no reservation" if reservation is None else f"has a reservation that is {reservation.state}"
        )
        raise NotReservedError(
            f"Order {order_id} {state}, yet its parcel leaves. Look at what became of its earlier events, "
            "then replay this one."
        )
    lines = list(reservation.lines.all())
    items = _locked_items(line.product_id for line in lines)
    for line in lines:
        item = items[line.product_id]
        item.on_hand -= line.quantity
        item.reserved -= line.quantity
    StockItem.objects.bulk_update(items.values(), ["on_hand", "reserved"])
    reservation.state = Reservation.State.ISSUED
    reservation.save()


def _reserve_when_ready(reservation: Reservation) -> ItemsReserved | OutOfStock | None:
    """Set everything aside or nothing, once lines and payment are both known."""
    if not (reservation.noted and reservation.paid):
        reservation.save()
        return None
    lines = list(reservation.lines.all())
    items = _locked_items(line.product_id for line in lines)
    available = {sku: item.available for sku, item in items.items()}
    missing = [
        MissingLine(sku=line.product_id, wanted=line.quantity, available=available.get(line.product_id, 0))
        for line in lines
        if line.quantity > available.get(line.product_id, 0)
    ]
    if missing:
        reservation.state = Reservation.State.REFUSED
        reservation.save()
        return OutOfStock(order_id=reservation.order_id, missing=missing)

    for line in lines:
        items[line.product_id].reserved += line.quantity
    StockItem.objects.bulk_update(items.values(), ["reserved"])
    reservation.state = Reservation.State.RESERVED
    reservation.save()
    return ItemsReserved(
        order_id=reservation.order_id,
        reservation_id=reservation.pk,
        lines=[ReservedLine(sku=line.product_id, quantity=line.quantity) for line in lines],
    )


def _locked_reservation(order_id: UUID) -> Reservation:
    reservation, _ = Reservation.objects.select_for_update().get_or_create(order_id=order_id)
    return reservation


def _locked_items(skus: Iterable[str]) -> dict[str, StockItem]:
    items = StockItem.objects.select_for_update().filter(product__in=list(skus)).order_by("product_id")
    return {item.product_id: item for item in items}
