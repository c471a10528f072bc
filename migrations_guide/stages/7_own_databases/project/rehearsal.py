"""A rehearsal for ``manage.py unplug``: orders of each kind, so that every microworkflow has something to do."""

from io import StringIO

from django.core.management import call_command

from microworkflows.testing import Flow
from orders import operations
from orders.models import Country, PaymentToken

_ORDERS = (
    ("MUG-STONE-350", PaymentToken.VISA),  # is shipped
    ("MUG-STONE-350", PaymentToken.DECLINED),
    ("CUP-RAKU-LTD", PaymentToken.VISA),  # is out of stock, and refunded
)


def orders_of_each_kind() -> None:
    """Fill an empty shop, place the orders, and take them to their ends."""
    for command in ("seed_catalogue", "seed_stock"):
        call_command(command, verbosity=0, stdout=StringIO())
    for sku, token in _ORDERS:
        order = operations.create_order(
            customer_name="Harbour Café",
            street="Kai 4",
            postcode="20457",
            city="Hamburg",
            country=Country.DE,
            payment_token=token,
            lines={sku: 1},
        )
        operations.place_order(order=order)
    Flow().run()
