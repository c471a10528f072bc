from django_rq import job

from .models import Ware


@job("low")
def nachbestellen(ware):
    Ware.objects.filter(pk=ware).update(verkauft=0)


def inventur(ware):
    return Ware.objects.filter(pk=ware).count()
