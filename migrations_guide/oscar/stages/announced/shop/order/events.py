"""What order announces."""

from microworkflows import DomainEvent


class LinePlaced(DomainEvent, type="order.line_placed.v1"):
    """A line of a basket was ordered."""

    line_id: int
    stockrecord_id: int
    quantity: int
