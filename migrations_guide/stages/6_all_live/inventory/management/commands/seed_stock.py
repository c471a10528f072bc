"""Fill the shelves with the sample stock; run again, it tops them up to what they were."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from inventory import stock
from inventory.samples import SAMPLES


class Command(BaseCommand):
    """``manage.py seed_stock``"""

    help = "Fill the shelves with the sample stock (idempotent: tops up what was taken since)."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Restock each sample, by SKU as everything that locks stock does."""
        for sample in sorted(SAMPLES):
            stock.restock(sku=sample.sku, available=sample.available, exactly=sample.exactly)
        self.stdout.write(f"{len(SAMPLES)} products are in stock, or deliberately not.")
