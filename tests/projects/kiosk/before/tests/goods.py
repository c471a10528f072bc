from stock.models import StockRecord


def arrive(sku, pieces):
    return StockRecord.objects.create(sku=sku, on_hand=pieces)
