from microworkflows import IncomingEvent


class ParcelBilled(IncomingEvent, type="billing.parcel_billed.v1"):
    """A parcel can be archived."""

    parcel: int
