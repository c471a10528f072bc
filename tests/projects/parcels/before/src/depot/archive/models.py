from django.db import models


class Delivery(models.Model):
    parcel = models.BigIntegerField(unique=True)
    archived_at = models.DateTimeField(auto_now_add=True)
