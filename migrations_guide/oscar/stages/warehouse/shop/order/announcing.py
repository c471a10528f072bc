"""Where order hands over: by an event."""

from microworkflows import outbox

from shop.order.events import OrderPlaced


def announce_order_placed(sender, order, user=None, **kwargs):
    """Record the event: a guest has no id."""
    outbox.record(OrderPlaced(order_id=order.pk, user_id=getattr(user, "pk", None)))
