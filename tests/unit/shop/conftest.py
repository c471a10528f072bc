"""Fixtures of the shop: its sample catalogue and stock, and drafts to place."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import Model

from inventory.models import StockItem
from orders import operations
from orders.models import Currency, Order, Product
from orders.samples import SAMPLES
from shipping.models import Shipment

ADDRESS = {
    "customer_name": "Sample Customer",
    "street": "Example Street 1",
    "postcode": "10115",
    "city": "Berlin",
    "country": "DE",
}

DATA = (
    *map(re.escape, ADDRESS.values()),
    *(re.escape(sample.name) for sample in SAMPLES),
    *Currency.values,
    *Shipment.Carrier.labels,
    r"[A-Z]+(-[A-Z0-9]+)+",  # SKUs
    r"[A-Z]{2}\d{9}[A-Z]{2}",  # tracking numbers
    r"A-\d{6}",  # orders
    r"sandbox_[a-z]+_[0-9a-f]+",
    "card declined",  # as the payment provider says it
    "True|False",  # Django's own icons
    "admin",
)
"""Patterns of what is no text of the program on the shop's pages, as the pseudo-locale takes them."""

Draft = Callable[..., Order]

_samples: dict[type[Model], list[dict[str, Any]]] = {}


@pytest.fixture
def admin_user(db: None) -> User:
    """Somebody who may do everything; without a password, because hashing one takes most of a second."""
    return User.objects.create(username="admin", is_staff=True, is_superuser=True)


@pytest.fixture
def shop(db: None) -> None:
    """The sample catalogue and stock: seeded once in a run, and copied from then on."""
    if _samples:
        Product.objects.bulk_create(Product(**row) for row in _samples[Product])
        StockItem.objects.bulk_create(StockItem(**row) for row in _samples[StockItem])
        return
    call_command("seed_catalogue", verbosity=0, stdout=_Silence())
    call_command("seed_stock", verbosity=0, stdout=_Silence())
    for model in (Product, StockItem):
        _samples[model] = [
            {name: value for name, value in row.items() if name != "id"}
            for row in model._default_manager.values()
        ]


@pytest.fixture
def draft(shop: None) -> Draft:
    """Return a function that creates a draft order of the sample catalogue."""

    def create(**wishes: Any) -> Order:
        given = {"payment_token": "tok_visa", "lines": {"TEA-SENCHA-100": 2, "MUG-STONE-350": 1}}
        return operations.create_order(**(ADDRESS | given | wishes))

    return create


class _Silence:
    def write(self, text: str) -> None:
        """Take what a command says."""
