from django.db import models


class Parcel(models.Model):
    order_number = models.CharField(max_length=128, unique=True)
    contents = models.JSONField()
