"""Fill the catalogue with the sample products; run again, it brings them back to what they were."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from orders import operations
from orders.models import Currency
from orders.samples import SAMPLES


class Command(BaseCommand):
    """``manage.py seed_catalogue``"""

    help = "Fill the catalogue with the sample products (idempotent)."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Offer each sample product."""
        for sample in SAMPLES:
            operations.offer_product(
                sku=sample.sku, name=sample.name, price=sample.price, currency=Currency.EUR
            )
        self.stdout.write(f"{len(SAMPLES)} products are in the catalogue.")
