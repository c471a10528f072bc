"""Counts stock, sets it aside for orders, and takes it off the shelves when their parcels leave.

Stock items are always locked by SKU, so that no two transactions wait for each other.
"""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import ngettext

from inventory.models import Reservation, ReservationLine, StockItem
from orders.models import Order


@transaction.atomic
def restock(*, sku: str, available: int, exactly: bool = False) -> StockItem:
    """Fill the shelf so that at least ``available`` pieces can be promised; ``exactly`` so many, if that is said.

    Raises:
        ValidationError: the catalogue has no such product.
    """
    item = _locked([sku]).get(sku) or StockItem(product_id=sku)
    if not exactly:
        available = max(available, item.available)
    item.on_hand = item.reserved + available
    item.full_clean()
    item.save()
    return item


@transaction.atomic
def count(*, sku: str, on_hand: int) -> StockItem:
    """Set what lies on the shelf, as somebody counted it.

    Raises:
        ValidationError: it is less than what is reserved.
    """
    item = _locked([sku])[sku]
    if on_hand < item.reserved:
        raise ValidationError(
            ngettext(
                "%(reserved)s piece of %(sku)s is reserved for paid orders, so %(on_hand)s on hand cannot be right. "
                "Count again.",
                "%(reserved)s pieces of %(sku)s are reserved for paid orders, so %(on_hand)s on hand cannot be right. "
                "Count again.",
                item.reserved,
            ),
            code="less_than_reserved",
            params={"reserved": item.reserved, "sku": sku, "on_hand": on_hand},
        )
    item.on_hand = on_hand
    item.save()
    return item


@transaction.atomic
def reserve(order: Order) -> Reservation:
    """Set aside all that an order wants or nothing of it, and return the reservation: reserved or refused."""
    wanted = {line.product.sku: line.quantity for line in order.lines.select_related("product")}
    reservation, _ = Reservation.objects.get_or_create(order=order)
    if not reservation.noted:
        ReservationLine.objects.bulk_create(
            ReservationLine(reservation=reservation, product_id=sku, quantity=quantity)
            for sku, quantity in sorted(wanted.items())
        )
    items = _locked(wanted)
    can = all(sku in items and items[sku].available >= quantity for sku, quantity in wanted.items())
    reservation.noted = reservation.paid = True
    reservation.state = Reservation.State.RESERVED if can else Reservation.State.REFUSED
    reservation.save()
    if can:
        for sku, item in items.items():
            item.reserved += wanted[sku]
        StockItem.objects.bulk_update(items.values(), ["reserved"])
    return reservation


@transaction.atomic
def issue(order: Order) -> Reservation:
    """Take what is set aside for an order off the shelves, and return the reservation: issued."""
    reservation = Reservation.objects.select_for_update().get(order=order, state=Reservation.State.RESERVED)
    quantities = {line.product_id: line.quantity for line in reservation.lines.all()}
    items = _locked(quantities)
    for sku, item in items.items():
        item.on_hand -= quantities[sku]
        item.reserved -= quantities[sku]
    StockItem.objects.bulk_update(items.values(), ["on_hand", "reserved"])
    reservation.state = Reservation.State.ISSUED
    reservation.save()
    return reservation


def _locked(skus: Iterable[str]) -> dict[str, StockItem]:
    items = StockItem.objects.select_for_update().filter(product__in=list(skus)).order_by("product_id")
    return {item.product_id: item for item in items}
