from typing import Any

from shop.orders.models import Order
from shop.stock.models import Reservation


def release(sender: type[Order], order: Order, **kwargs: Any) -> None:
    Reservation.objects.filter(order=order).delete()
