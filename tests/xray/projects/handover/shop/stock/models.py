from django.db import models


class Stock(models.Model):
    sku = models.CharField(max_length=20, unique=True)
    available = models.IntegerField(default=0)


class Reservation(models.Model):
    order = models.ForeignKey("orders.Order", on_delete=models.CASCADE)
