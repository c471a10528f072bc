"""Where order hands over: by an event."""

from microworkflows import outbox
from oscar.apps.order.utils import OrderCreator as OrderCreatorBefore

from shop.order.events import LinePlaced


class OrderCreator(OrderCreatorBefore):
    """As before, but the work follows from an event."""

    def update_stock_records(self, line):
        """Record the event; the legacy step calls the method of before."""
        outbox.record(LinePlaced(line_id=line.pk, stockrecord_id=line.stockrecord_id, quantity=line.quantity))
