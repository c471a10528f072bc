from microworkflows import DomainEvent, IncomingEvent


class OrderPlaced(DomainEvent, type="sales.order_placed.v1"):
    """A customer has placed an order."""

    number: str
    copies: dict[str, int]


class ParcelPacked(IncomingEvent, type="packing.parcel_packed.v1"):
    """An order lies in a parcel."""

    number: str
