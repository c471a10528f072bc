"""Placing an order: whether a piece may be sold is decided here and at once; all others hear of it."""

from microworkflows import outbox
from oscar.apps.order import utils
from oscar.apps.order.exceptions import UnableToPlaceOrder
from oscar.core.loading import get_model

from shop.order.events import LineSold

StockRecord = get_model("partner", "StockRecord")


class OrderCreator(utils.OrderCreator):
    def create_additional_line_models(self, order, order_line, basket_line):
        super().create_additional_line_models(order, order_line, basket_line)
        outbox.record(
            LineSold(line_id=order_line.pk, sku=order_line.partner_sku, quantity=order_line.quantity)
        )

    def update_stock_records(self, line):
        """Take the pieces if they are still there; who comes second waits for the lock, and looks then."""
        record = StockRecord.objects.select_for_update().get(pk=line.stockrecord_id)
        if record.can_track_allocations and record.net_stock_level < line.quantity:
            raise UnableToPlaceOrder(f"{line.product} is sold out")
        super().update_stock_records(line)
