from django.db.models import F

from microworkflows import microworkflow
from stock.events import OrderCancelled, OrderPlaced
from stock.models import Allocation, StockRecord


@microworkflow(on=OrderPlaced)
def allocate(event: OrderPlaced) -> None:
    _, is_first = Allocation.objects.get_or_create(number=event.number)
    if is_first:
        StockRecord.objects.filter(sku=event.sku).update(allocated=F("allocated") + 1)


@microworkflow(on=OrderCancelled)
def release(event: OrderCancelled) -> None:
    _, is_first = Allocation.objects.get_or_create(number=event.number)
    if not is_first:
        StockRecord.objects.filter(sku=event.sku).update(allocated=F("allocated") - 1)
