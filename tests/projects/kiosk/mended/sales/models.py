from django.db import models


class Order(models.Model):
    sku = models.CharField(max_length=20)
    cancelled = models.BooleanField(default=False)


class Shelf(models.Model):
    """What sales may still sell: its own copy, which it writes in the transaction of the sale."""

    sku = models.CharField(max_length=20, unique=True)
    pieces = models.IntegerField()
    left = models.IntegerField()
