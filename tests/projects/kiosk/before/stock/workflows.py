from django.apps import apps
from django.db.models import F

from microworkflows import microworkflow
from stock.events import OrderPlaced
from stock.models import StockRecord


@microworkflow(on=OrderPlaced)
def allocate(event: OrderPlaced) -> None:
    order = apps.get_model("sales", "Order").objects.filter(pk=event.number, cancelled=True)
    if not order.exists():
        StockRecord.objects.filter(sku=event.sku).update(allocated=F("allocated") + 1)
