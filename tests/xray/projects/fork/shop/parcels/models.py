from django.db import models
from kiosk.parcels.rules import heavy


class Parcel(models.Model):
    heavy = models.BooleanField(default=heavy)
