from django.db import transaction

from shop.orders.models import Order
from shop.orders.signals import order_closed
from shop.stock import services


@transaction.atomic
def return_order(order: Order, reason: str = "") -> None:
    for line in order.lines.all():
        services.put_back(line, line.quantity)


@transaction.atomic
def close_order(order: Order) -> None:
    if services.is_reserved(order):
        order_closed.send(sender=Order, order=order)
