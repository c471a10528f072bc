from django.contrib.contenttypes.fields import GenericRelation
from django.db import models


class Stamped(models.Model):
    collector = models.ForeignKey("herbarium.Collector", null=True, on_delete=models.SET(None))

    class Meta:
        abstract = True


class Collector(models.Model):
    name = models.CharField(max_length=80)


class Specimen(Stamped):
    stickers = GenericRelation("labels2go.Sticker")
    neighbours = models.ManyToManyField("self")
    rooms = models.ManyToManyField("loans.Room", through="loans.Stay")


class TypeSpecimen(Specimen):
    twin = models.OneToOneField("self", null=True, on_delete=models.RESTRICT)


class Fern(Specimen):
    class Meta:
        proxy = True
