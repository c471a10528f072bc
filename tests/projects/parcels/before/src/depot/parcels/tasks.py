from celery import shared_task

from depot.parcels.models import Parcel


@shared_task
def print_label(parcel_id):
    parcel = Parcel.objects.get(pk=parcel_id)
    parcel.label = f"To {parcel.recipient}"
    parcel.save()
