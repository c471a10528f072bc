from microworkflows import microworkflow

from depot.archive.models import Delivery
from depot.archiving.events import ParcelBilled


@microworkflow(on=ParcelBilled)
def keep(event: ParcelBilled) -> None:
    Delivery.objects.create(parcel=event.parcel)
