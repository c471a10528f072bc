from django.db.models import F

from shop.orders.models import Line, Order
from shop.stock.models import Reservation, Stock


def put_back(line: Line, quantity: int) -> None:
    if quantity < 1:
        raise ValueError("There is nothing to put back.")
    Stock.objects.filter(sku=line.sku).update(available=F("available") + quantity)


def is_reserved(order: Order) -> bool:
    return Reservation.objects.filter(order=order).exists()
