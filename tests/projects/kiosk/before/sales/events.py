from microworkflows import DomainEvent


class OrderPlaced(DomainEvent, type="sales.order_placed.v1"):
    number: int
    sku: str
