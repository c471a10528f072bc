import http.client

from django.db import connection, transaction
from stock.models import Item, Movement

from sales.models import Line, Order


def tell():
    pass


def count():
    pass


@transaction.atomic
def place_order(customer, items):
    order = Order.objects.create(customer=customer)
    for item in items:
        with transaction.atomic():
            Line.objects.create(order=order, item=item)
        item.take(1)
        Movement.objects.create(item=item, quantity=-1)
    transaction.on_commit(tell)
    transaction.on_commit(count)
    return order


def charge(port):
    with transaction.atomic():
        Order.objects.select_for_update().first()
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.request("POST", "/secret-path", body="secret-body")
        client.getresponse().read()
        client.close()


def forget(customer):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sales_note WHERE text = 'secret-literal'")
    return list(Line.objects.filter(order__customer=customer).values_list("item__name"))


def reserve():
    with transaction.atomic():
        return Item.objects.select_for_update().get()


def write_below():
    with connection.cursor():
        connection.connection.execute("INSERT INTO sales_note (text) VALUES ('secret-note')")


def never():
    Item.objects.all().delete()
