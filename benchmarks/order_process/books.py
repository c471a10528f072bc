"""Do the books agree: is every placed order paid, reserved, sent and issued once, and no more than that?"""

from dataclasses import dataclass

from django.db.models import Sum
from django.db.models.functions import Coalesce

from benchmarks.order_process.drafts import STOCK
from inventory.models import Reservation, StockItem
from orders.models import Order, OrderLine
from payments.models import Payment
from shipping.models import Shipment


class BooksError(Exception):
    """Money or stock does not agree with what was sold."""


@dataclass(frozen=True, kw_only=True)
class Books:
    """What an auditor finds."""

    lost: int
    """Orders that were placed and lack their final state, or what leads to it."""
    doubled: int
    """Pieces that left the shelves, or are set aside, beyond those that the orders ask for."""


def read() -> Books:
    """Read the books, once nothing moves any more.

    Raises:
        BooksError: the money taken is not what the shipped orders cost, or less left the shelves than was sold.
    """
    placed = Order.objects.exclude(state="draft")
    shipped = placed.filter(state="shipped")
    payments = Payment.objects.filter(state="received")
    complete = min(
        shipped.count(),
        payments.count(),
        Reservation.objects.filter(state="issued").count(),
        Shipment.objects.count(),
    )
    lost = placed.count() - complete
    cost = shipped.aggregate(sum=Sum("total"))["sum"]
    taken = payments.aggregate(sum=Sum("amount"))["sum"]
    if lost == 0 and cost != taken:
        raise BooksError(f"Orders for {cost} were shipped, and {taken} was taken.")
    set_aside = Reservation.objects.filter(state__in=["reserved", "issued"])
    orders = list(set_aside.values_list("order_id", flat=True))  # they may be in another database
    ordered = OrderLine.objects.filter(order__in=orders).aggregate(sum=Coalesce(Sum("quantity"), 0))["sum"]
    shelves = StockItem.objects.aggregate(on_hand=Sum("on_hand"), reserved=Sum("reserved"))
    taken_off = STOCK * StockItem.objects.count() - shelves["on_hand"] + shelves["reserved"]
    if taken_off < ordered:
        raise BooksError(f"{ordered} pieces were to leave the shelves, and {taken_off} did.")
    return Books(lost=lost, doubled=taken_off - ordered)
