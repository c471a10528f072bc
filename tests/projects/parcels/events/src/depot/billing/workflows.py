from microworkflows import microworkflow

from depot.billing.events import ParcelAccepted, ParcelBilled
from depot.billing.models import Invoice
from depot.parcels.tasks import print_label


@microworkflow(on=ParcelAccepted, emits=[ParcelBilled])
def write_invoice(event: ParcelAccepted) -> ParcelBilled:
    invoice = Invoice.objects.create(parcel=event.parcel)
    print_label.delay_on_commit(invoice.parcel)
    return ParcelBilled(parcel=event.parcel)
