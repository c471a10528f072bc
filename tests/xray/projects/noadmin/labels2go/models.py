from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Sticker(models.Model):
    kind = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    number = models.PositiveIntegerField()
    thing = GenericForeignKey("kind", "number")
