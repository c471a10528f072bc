"""Fills a migrated, empty database: the sample catalogue, more stock than is ordered, and drafts to place."""

from itertools import cycle, islice

from django.core.management import call_command
from django.db import router, transaction

from inventory.models import StockItem
from orders.models import Order, OrderLine, OrderNumber, Product

STOCK = 1_000_000
_COUNTRIES = ("DE", "NL", "GB", "US")


def prepare(count: int) -> list[Order]:
    """Return so many new drafts of two lines each, which the stock suffices for."""
    call_command("seed_catalogue", verbosity=0)
    with transaction.atomic(using=router.db_for_write(StockItem)):  # it may be in another database
        call_command("seed_stock", verbosity=0)
    StockItem.objects.update(on_hand=STOCK, reserved=0)
    numbers = OrderNumber.objects.bulk_create(OrderNumber() for _ in range(count))
    drafts = Order.objects.bulk_create(
        Order(
            number=str(number),
            customer_name="Harbour Café",
            street="Kai 4",
            postcode="20457",
            city="Hamburg",
            country=country,
            payment_token="tok_visa",
        )
        for number, country in zip(numbers, cycle(_COUNTRIES), strict=False)
    )
    products = cycle(Product.objects.all())
    OrderLine.objects.bulk_create(
        OrderLine(order=draft, product=product, quantity=quantity)
        for draft in drafts
        for quantity, product in enumerate(islice(products, 2), start=1)
    )
    return drafts
