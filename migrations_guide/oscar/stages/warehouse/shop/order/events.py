"""What order announces."""

from microworkflows import DomainEvent


class OrderPlaced(DomainEvent, type="order.order_placed.v1"):
    """Somebody has ordered, a guest if there is no user."""

    order_id: int
    user_id: int | None


class LineSold(DomainEvent, type="order.line_sold.v1"):
    """Pieces were taken from what may be sold; they are the customer's."""

    line_id: int
    sku: str
    quantity: int


class LineShipped(DomainEvent, type="order.line_shipped.v1"):
    """Some of a line's pieces have left the house."""

    line_id: int
    sku: str
    quantity: int
    shipped: int


class LineCancelled(DomainEvent, type="order.line_cancelled.v1"):
    """Nobody wants a line's pieces any more; it may be heard of before the sale is."""

    line_id: int
    sku: str
    quantity: int
