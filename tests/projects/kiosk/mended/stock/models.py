from django.db import models


class StockRecord(models.Model):
    sku = models.CharField(max_length=20)
    on_hand = models.IntegerField()
    allocated = models.IntegerField(default=0)


class Allocation(models.Model):
    """One order's: whichever of its two events comes first."""

    number = models.IntegerField(unique=True)
