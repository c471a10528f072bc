from django.db import transaction
from django.db.models import F

from microworkflows import outbox
from sales.events import OrderCancelled, OrderPlaced
from sales.models import Order, Shelf


@transaction.atomic
def buy(sku):
    if not Shelf.objects.filter(sku=sku, left__gt=0).update(left=F("left") - 1):
        return None
    order = Order.objects.create(sku=sku)
    outbox.record(OrderPlaced(number=order.pk, sku=sku))
    return order


@transaction.atomic
def buy_basket(skus):
    return [order for sku in skus if (order := buy(sku))]


def is_there(sku):
    return Shelf.objects.filter(sku=sku, left__gt=0).exists()


@transaction.atomic
def cancel(order):
    order.cancelled = True
    order.save()
    Shelf.objects.filter(sku=order.sku).update(left=F("left") + 1)
    outbox.record(OrderCancelled(number=order.pk, sku=order.sku))


def report():
    return dict(Shelf.objects.values_list("sku", "pieces"))


def label(sku):
    return f"shelf of {sku}"
