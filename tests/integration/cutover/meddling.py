"""An app that does what monoliths do: whenever a payment is saved, a signal writes a row of another context."""

from typing import Any

from django.apps import AppConfig
from django.db.models import F
from django.db.models.signals import post_save


class MeddlingConfig(AppConfig):
    """Adds a piece to the stock for each payment."""

    name = "tests.integration.cutover"
    label = "meddling"

    def ready(self) -> None:
        from payments.models import Payment

        post_save.connect(_meddle, sender=Payment, dispatch_uid="meddling")


def _meddle(**kwargs: Any) -> None:
    from inventory.models import StockItem

    StockItem.objects.filter(sku="MUG-STONE-350").update(on_hand=F("on_hand") + 1)
