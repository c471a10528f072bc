from microworkflows import DomainEvent, IncomingEvent


class ParcelAccepted(IncomingEvent, type="depot_parcels.parcel_accepted.v1"):
    """There is something to be billed."""

    parcel: int


class ParcelBilled(DomainEvent, type="billing.parcel_billed.v1"):
    """The invoice of a parcel is written."""

    parcel: int
