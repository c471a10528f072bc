from microworkflows import IncomingEvent


class OrderPlaced(IncomingEvent, type="sales.order_placed.v1"):
    number: int
    sku: str


class OrderCancelled(IncomingEvent, type="sales.order_cancelled.v1"):
    number: int
    sku: str
