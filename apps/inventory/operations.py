"""Writes of inventory: count stock, reserve it for paid orders, and issue it when the parcel leaves.

Locks are always taken in the same order, so that no two transactions wait for each other: first the reservations by
the id of their order, then the stock items by SKU.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import ngettext

from inventory.events import ItemsReserved, MissingLine, OutOfStock, ReservedLine
from inventory.models import Reservation, ReservationLine, StockItem

logger = logging.getLogger(__name__)


class NotReservedError(LookupError):
    """A parcel is to leave with items that are not set aside; a retry helps, if the reservation is only late."""


@transaction.atomic
def count_stock(*, sku: str, on_hand: int) -> StockItem:
    """Set what lies on the shelf, as somebody counted it; makes the stock item where there is none.

    Raises:
        ValidationError: it is less than what is reserved, or no valid count.
    """
    return _set_on_hand(_locked_item(sku), on_hand)


@transaction.atomic
def restock(*, sku: str, available: int, exactly: bool = False) -> StockItem:
    """Fill the shelf so that at least ``available`` pieces can be promised; ``exactly`` so many, if that is said.

    Raises:
        ValidationError: the numbers are no valid count.
    """
    item = _locked_item(sku)
    if not exactly:
        available = max(available, item.available)
    return _set_on_hand(item, item.reserved + available)


@transaction.atomic(savepoint=False)
def note_orders(
    *, wanted: Mapping[UUID, Iterable[tuple[str, int]]]
) -> dict[UUID, ItemsReserved | OutOfStock]:
    """Keep what orders want, each as (SKU, quantity); reserve it for those that are paid already.

    Returns:
        What to announce, by order; nothing of those whose payment is awaited, and of those for which this is no news.
    """
    reservations = _waiting_for("noted", wanted)
    ReservationLine.objects.bulk_create(
        ReservationLine(reservation=reservation, sku=sku, quantity=quantity)
        for reservation in reservations
        for sku, quantity in sorted(_added_up(wanted[reservation.order_id]).items())
    )
    for reservation in reservations:
        reservation.noted = True
    return _reserve_when_ready(reservations)


@transaction.atomic(savepoint=False)
def note_payments(*, order_ids: Collection[UUID]) -> dict[UUID, ItemsReserved | OutOfStock]:
    """Keep that orders are paid; reserve what they want, of those for which that is known already.

    Returns:
        What to announce, by order; nothing of those whose lines are awaited, and of those for which this is no news.
    """
    reservations = _waiting_for("paid", order_ids)
    for reservation in reservations:
        reservation.paid = True
    return _reserve_when_ready(reservations)


@transaction.atomic(savepoint=False)
def forget_order(*, order_id: UUID) -> None:
    """Drop the copy of an order that will not be paid; what remains says so, should its lines come later."""
    (reservation,) = _locked_reservations([order_id])
    if reservation.state == Reservation.State.DROPPED:
        return
    if reservation.state != Reservation.State.WAITING:
        logger.warning("%s of order %s is %s; not dropped.", reservation, order_id, reservation.state)
        return
    reservation.lines.all().delete()
    reservation.state = Reservation.State.DROPPED
    reservation.save()


@transaction.atomic(savepoint=False)
def issue_items(*, order_ids: Collection[UUID]) -> None:
    """Take the reserved items of orders off the shelves, because their parcels leave; once.

    Raises:
        NotReservedError: nothing is reserved for one of the orders.
    """
    rows = Reservation.objects.select_for_update().filter(order_id__in=order_ids).order_by("order_id")
    found = {reservation.order_id: reservation for reservation in rows}
    leaving = [order_id for order_id in order_ids if not _is_issued(order_id, found.get(order_id))]
    lines = _lines(found[order_id] for order_id in leaving)
    items = _locked_items(line.sku for line in lines)
    for line in lines:
        item = items[line.sku]
        item.on_hand -= line.quantity
        item.reserved -= line.quantity
    StockItem.objects.bulk_update(items.values(), ["on_hand", "reserved"])
    rows.filter(order_id__in=leaving).update(state=Reservation.State.ISSUED, changed_at=timezone.now())


def _is_issued(order_id: UUID, reservation: Reservation | None) -> bool:
    if reservation is not None and reservation.state == Reservation.State.ISSUED:
        logger.info("%s of order %s is issued; not issued again.", reservation, order_id)
        return True
    if reservation is None or reservation.state != Reservation.State.RESERVED:
        state = (
            "has no reservation" if reservation is None else f"has a reservation that is {reservation.state}"
        )
        raise NotReservedError(
            f"Order {order_id} {state}, yet its parcel leaves. Look at what became of its earlier events, "
            "then replay this one."
        )
    return False


def _reserve_when_ready(reservations: Collection[Reservation]) -> dict[UUID, ItemsReserved | OutOfStock]:
    """Set everything aside or nothing, for each order of which lines and payment are both known."""
    ready = [reservation for reservation in reservations if reservation.noted and reservation.paid]
    lines: dict[UUID, list[ReservationLine]] = defaultdict(list)
    for line in _lines(ready):
        lines[line.reservation_id].append(line)
    items = _locked_items(line.sku for each in lines.values() for line in each)
    announced = {each.order_id: _reserve(each, lines[each.pk], items) for each in ready}
    StockItem.objects.bulk_update(items.values(), ["reserved"])
    for reservation in reservations:
        reservation.changed_at = timezone.now()
    Reservation.objects.bulk_update(reservations, ["noted", "paid", "state", "changed_at"])
    return announced


def _reserve(
    reservation: Reservation, lines: Collection[ReservationLine], items: Mapping[str, StockItem]
) -> ItemsReserved | OutOfStock:
    """Decide on one order, and change its reservation and the stock items, which the caller saves."""
    available = {sku: item.available for sku, item in items.items()}
    for line in lines:
        if line.sku not in items:
            logger.warning(
                "No stock item has the SKU %s, which order %s wants, so none is available. If it was deleted, add it again.",
                *(line.sku, reservation.order_id),
            )
    missing = [
        MissingLine(sku=line.sku, wanted=line.quantity, available=available.get(line.sku, 0))
        for line in lines
        if line.quantity > available.get(line.sku, 0)
    ]
    if missing:
        reservation.state = Reservation.State.REFUSED
        return OutOfStock(order_id=reservation.order_id, missing=missing)
    for line in lines:
        items[line.sku].reserved += line.quantity
    reservation.state = Reservation.State.RESERVED
    return ItemsReserved(
        order_id=reservation.order_id,
        reservation_id=reservation.pk,
        lines=[ReservedLine(sku=line.sku, quantity=line.quantity) for line in lines],
    )


def _added_up(quantities: Iterable[tuple[str, int]]) -> Counter[str]:
    wanted: Counter[str] = Counter()
    for sku, quantity in quantities:
        wanted[sku] += quantity
    return wanted


def _waiting_for(news: Literal["noted", "paid"], order_ids: Collection[UUID]) -> list[Reservation]:
    """Return the locked reservations of the orders for which this is news."""
    waiting = []
    for reservation in _locked_reservations(order_ids):
        if getattr(reservation, news) or reservation.state != Reservation.State.WAITING:
            logger.info(
                "%s of order %s is %s; not %s again.",
                *(reservation, reservation.order_id, reservation.state, news),
            )
        else:
            waiting.append(reservation)
    return waiting


def _locked_reservations(order_ids: Collection[UUID]) -> list[Reservation]:
    """Return the reservations of orders, locked in the order of their ids; one that is not there is made."""
    rows = Reservation.objects.select_for_update().filter(order_id__in=order_ids).order_by("order_id")
    found = list(rows)
    if missing := sorted(set(order_ids) - {reservation.order_id for reservation in found}):
        made = [Reservation(order_id=order_id) for order_id in missing]
        Reservation.objects.bulk_create(made, ignore_conflicts=True)  # another process may have been quicker
        found = list(rows.all())
    return found


def _lines(reservations: Iterable[Reservation]) -> list[ReservationLine]:
    return list(ReservationLine.objects.filter(reservation__in=list(reservations)))


def _locked_items(skus: Iterable[str]) -> dict[str, StockItem]:
    items = StockItem.objects.select_for_update().filter(sku__in=list(skus)).order_by("sku")
    return {item.sku: item for item in items}


def _locked_item(sku: str) -> StockItem:
    item = _locked_items([sku]).get(sku)
    if item is None:
        StockItem(sku=sku).full_clean(validate_unique=False)
        StockItem.objects.get_or_create(sku=sku)
        item = _locked_items([sku])[sku]
    return item


def _set_on_hand(item: StockItem, on_hand: int) -> StockItem:
    if on_hand < item.reserved:
        raise ValidationError(
            ngettext(
                "%(reserved)s piece of %(sku)s is reserved for paid orders, so %(on_hand)s on hand cannot be right. "
                "Count again, or ship what is reserved first.",
                "%(reserved)s pieces of %(sku)s are reserved for paid orders, so %(on_hand)s on hand cannot be right. "
                "Count again, or ship what is reserved first.",
                item.reserved,
            ),
            code="less_than_reserved",
            params={"reserved": item.reserved, "sku": item.sku, "on_hand": on_hand},
        )
    item.on_hand = on_hand
    item.full_clean()
    item.save(update_fields=["on_hand"])
    return item
