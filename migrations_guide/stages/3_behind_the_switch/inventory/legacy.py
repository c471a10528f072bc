"""The steps of inventory as the monolith does them: by its old functions, and the events that they stand for."""

from inventory import stock
from inventory.events import (
    ItemsReserved,
    MissingLine,
    OutOfStock,
    PaymentReceived,
    ReservedLine,
    ShipmentScheduled,
)
from inventory.models import Reservation
from inventory.workflows import issue_items, reserve_items
from microworkflows.cutover import legacy
from orders.models import Order, Product


@legacy(reserve_items)
def reserve(event: PaymentReceived) -> ItemsReserved | OutOfStock:
    """Set aside what the order wants as before, all of it or nothing."""
    reservation = stock.reserve(Order.objects.get(pk=event.order_id))
    lines = list(reservation.lines.select_related("product__stock"))
    if reservation.state == Reservation.State.REFUSED:
        return OutOfStock(
            order_id=event.order_id,
            missing=[
                MissingLine(sku=line.product_id, wanted=line.quantity, available=available)
                for line in lines
                if (available := _available(line.product)) < line.quantity
            ],
        )
    return ItemsReserved(
        order_id=event.order_id,
        reservation_id=reservation.pk,
        lines=[ReservedLine(sku=line.product_id, quantity=line.quantity) for line in lines],
    )


@legacy(issue_items)
def issue(event: ShipmentScheduled) -> None:
    """Take the order's goods off the shelves as before."""
    stock.issue(Order.objects.get(pk=event.order_id))


def _available(product: Product) -> int:
    # A product that was never on a shelf has no stock at all.
    return product.stock.available if hasattr(product, "stock") else 0
