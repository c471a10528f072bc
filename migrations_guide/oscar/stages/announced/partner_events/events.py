"""What partner_events reads in the events that it hears."""

from microworkflows import IncomingEvent


class LinePlaced(IncomingEvent, type="order.line_placed.v1"):
    """Pieces to allocate."""

    line_id: int
    stockrecord_id: int
    quantity: int
