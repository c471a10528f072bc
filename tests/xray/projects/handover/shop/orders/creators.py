from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from shop.orders.models import Line, Order


class OrderCreator:
    def place(self, number: str, lines: dict[str, int]) -> Order:
        with transaction.atomic():
            order = Order.objects.create(number=number)
            for sku, quantity in lines.items():
                line = Line.objects.create(order=order, sku=sku, quantity=quantity)
                self.update_stock(line)
        return order

    def update_stock(self, line: Line) -> None:
        """Do nothing: a shop with goods overrides this."""


def place_order(number: str, lines: dict[str, int]) -> Order:
    creator = import_string(settings.ORDER_CREATOR)()
    return creator.place(number, lines)
