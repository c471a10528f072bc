from oscar.apps.order import processing


class EventHandler(processing.EventHandler):
    def handle_order_status_change(self, order, new_status, note_msg=None):
        super().handle_order_status_change(order, new_status, note_msg)
        if new_status == "Cancelled":
            self.cancel_stock_allocations(order)

    def handle_payment_event(self, order, event_type, amount, lines=None, line_quantities=None, **kwargs):
        if event_type.code == "refunded":
            for source in order.sources.all():
                source.refund(amount)
        return super().handle_payment_event(order, event_type, amount, lines, line_quantities, **kwargs)

    def handle_shipping_event(self, order, event_type, lines, line_quantities, **kwargs):
        self.validate_shipping_event(order, event_type, lines, line_quantities, **kwargs)
        self.consume_stock_allocations(order, lines, line_quantities)
        return self.create_shipping_event(order, event_type, lines, line_quantities, **kwargs)
