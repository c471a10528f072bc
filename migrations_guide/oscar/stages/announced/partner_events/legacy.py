"""The steps of partner_events as its old code does them."""

from microworkflows.cutover import legacy
from oscar.apps.order.utils import OrderCreator
from oscar.core.loading import get_model

from partner_events.events import LinePlaced
from partner_events.workflows import update_stock_records

Line = get_model("basket", "Line")
ProductAlert = get_model("customer", "ProductAlert")
StockAlert = get_model("partner", "StockAlert")
StockRecord = get_model("partner", "StockRecord")


@legacy(
    update_stock_records,
    observe=lambda event: [
        StockRecord.objects.filter(pk=event.stockrecord_id),
        StockAlert.objects.filter(stockrecord=event.stockrecord_id),
        ProductAlert.objects.filter(product__stockrecords=event.stockrecord_id),
    ],
)
def update_stock_records_as_before(event: LinePlaced) -> None:
    """Call the old code, untouched."""
    OrderCreator().update_stock_records(Line.objects.get(pk=event.line_id))
