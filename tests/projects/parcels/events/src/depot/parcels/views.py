from django.http import JsonResponse
from microworkflows import outbox

from depot.archive.models import Delivery
from depot.parcels import tasks
from depot.parcels.events import ParcelAccepted
from depot.parcels.models import Parcel


def accept(request):
    parcel = Parcel.objects.create(recipient=request.POST["recipient"])
    outbox.record(ParcelAccepted(parcel=parcel.pk), correlation_id=parcel.pk)
    tasks.print_label.delay_on_commit(parcel.pk)
    return JsonResponse({"id": parcel.pk}, status=201)


def archived(request):
    return JsonResponse({"count": Delivery.objects.count()})
