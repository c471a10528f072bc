from microworkflows import IncomingEvent


class OrderPlaced(IncomingEvent, type="order.order_placed.v1"):
    order_id: int
    user_id: int | None
