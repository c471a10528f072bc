from django.db import models


class StockRecord(models.Model):
    sku = models.CharField(max_length=20)
    on_hand = models.IntegerField()
    allocated = models.IntegerField(default=0)
