from microworkflows import IncomingEvent


class LineSold(IncomingEvent, type="order.line_sold.v1"):
    line_id: int
    sku: str
    quantity: int


class LineShipped(IncomingEvent, type="order.line_shipped.v1"):
    line_id: int
    sku: str
    quantity: int
    shipped: int


class LineCancelled(IncomingEvent, type="order.line_cancelled.v1"):
    line_id: int
    sku: str
    quantity: int
