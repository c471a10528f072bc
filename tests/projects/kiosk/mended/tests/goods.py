from sales.models import Shelf
from stock.models import StockRecord


def arrive(sku, pieces):
    Shelf.objects.create(sku=sku, pieces=pieces, left=pieces)
    return StockRecord.objects.create(sku=sku, on_hand=pieces)
