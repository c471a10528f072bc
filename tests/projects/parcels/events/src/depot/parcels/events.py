from microworkflows import DomainEvent


class ParcelAccepted(DomainEvent, type="depot_parcels.parcel_accepted.v1"):
    """A parcel is in the depot."""

    parcel: int
