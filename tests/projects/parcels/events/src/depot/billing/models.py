from django.db import models


class Invoice(models.Model):
    parcel = models.BigIntegerField(unique=True)
    written_at = models.DateTimeField(auto_now_add=True)
