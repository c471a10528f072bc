from microworkflows import DomainEvent


class OrderPlaced(DomainEvent, type="sales.order_placed.v1"):
    number: int
    sku: str


class OrderCancelled(DomainEvent, type="sales.order_cancelled.v1"):
    number: int
    sku: str
