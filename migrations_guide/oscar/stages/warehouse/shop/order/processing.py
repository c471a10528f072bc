from microworkflows import outbox
from oscar.apps.order import processing

from shop.order.events import LineCancelled, LineShipped


class EventHandler(processing.EventHandler):
    def handle_order_status_change(self, order, new_status, note_msg=None):
        super().handle_order_status_change(order, new_status, note_msg)
        if new_status == "Cancelled":
            self.cancel_stock_allocations(order)
            for line in order.lines.all():
                outbox.record(LineCancelled(line_id=line.pk, sku=line.partner_sku, quantity=line.quantity))

    def handle_payment_event(self, order, event_type, amount, lines=None, line_quantities=None, **kwargs):
        if event_type.code == "refunded":
            for source in order.sources.all():
                source.refund(amount)
        return super().handle_payment_event(order, event_type, amount, lines, line_quantities, **kwargs)

    def handle_shipping_event(self, order, event_type, lines, line_quantities, **kwargs):
        self.validate_shipping_event(order, event_type, lines, line_quantities, **kwargs)
        self.consume_stock_allocations(order, lines, line_quantities)
        for line, shipped in zip(lines, line_quantities, strict=True):
            outbox.record(
                LineShipped(line_id=line.pk, sku=line.partner_sku, quantity=line.quantity, shipped=shipped)
            )
        return self.create_shipping_event(order, event_type, lines, line_quantities, **kwargs)
