from django.db.models.signals import post_save
from django.dispatch import receiver
from kasse.signals import bezahlt
from lager.models import Ware


@receiver(post_save, sender=Ware)
def preis_pruefen(sender, instance, **kwargs):
    assert instance.preis >= 0


@receiver(bezahlt)
def zaehlen(sender, **kwargs):
    Ware.objects.filter(pk=kwargs["ware"]).update(verkauft=1)
