from django.db import models


class Allocation(models.Model):
    """What the warehouse holds for a line of an order. Whichever event of the line comes first makes the row."""

    line_id = models.BigIntegerField(primary_key=True)
    sku = models.CharField(max_length=128, db_index=True)
    quantity = models.PositiveIntegerField()
    shipped = models.PositiveIntegerField(default=0)
    cancelled = models.BooleanField(default=False)
