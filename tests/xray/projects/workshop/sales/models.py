from django.db import models
from stock.models import Item


class Order(models.Model):
    customer = models.CharField(max_length=50)


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE)
    item = models.ForeignKey(Item, on_delete=models.CASCADE)


class Note(models.Model):
    text = models.CharField(max_length=50)
