from microworkflows import DomainEvent, IncomingEvent


class OrderPlaced(IncomingEvent, type="sales.order_placed.v1"):
    """There is something to be packed."""

    number: str
    copies: dict[str, int]


class ParcelPacked(DomainEvent, type="packing.parcel_packed.v1"):
    """An order lies in a parcel."""

    number: str
