from datetime import timedelta

import django_rq
from django.http import HttpResponse
from kasse.models import Bon
from kasse.signals import bezahlt
from lager.jobs import inventur, nachbestellen


def bon(request, ware):
    beleg = Bon.objects.create(ware_id=ware)
    bezahlt.send(sender=Bon, ware=ware)
    nachbestellen.delay(ware)
    django_rq.get_queue("low").enqueue(inventur, ware)
    django_rq.get_scheduler().enqueue_in(timedelta(hours=1), "lager.jobs.inventur", ware)
    return HttpResponse(beleg.pk)
