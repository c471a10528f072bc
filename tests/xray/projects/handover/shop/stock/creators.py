from django.db.models import F

from shop.orders.creators import OrderCreator
from shop.orders.models import Line
from shop.stock.models import Reservation, Stock


class StockOrderCreator(OrderCreator):
    def update_stock(self, line: Line) -> None:
        Stock.objects.filter(sku=line.sku).update(available=F("available") - line.quantity)
        Reservation.objects.get_or_create(order=line.order)
