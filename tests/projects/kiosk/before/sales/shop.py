from importlib import import_module

from django.db import connection, transaction
from django.db.models import F

from microworkflows import outbox
from sales.events import OrderPlaced
from sales.models import Order
from stock.models import StockRecord


@transaction.atomic
def buy(sku):
    if not is_there(sku):
        return None
    order = Order.objects.create(sku=sku)
    outbox.record(OrderPlaced(number=order.pk, sku=sku))
    return order


@transaction.atomic
def buy_basket(skus):
    return [order for sku in skus if (order := buy(sku))]


def is_there(sku):
    return StockRecord.objects.filter(sku=sku, allocated__lt=F("on_hand")).exists()


@transaction.atomic
def cancel(order):
    order.cancelled = True
    order.save()
    StockRecord.objects.filter(sku=order.sku).update(allocated=F("allocated") - 1)


def report():
    with connection.cursor() as cursor:
        cursor.execute("SELECT sku, sum(on_hand) AS pieces FROM stock_stockrecord GROUP BY sku")
        return dict(cursor.fetchall())


def label(sku):
    return import_module(f"{'stock'}.labels").label(sku)
