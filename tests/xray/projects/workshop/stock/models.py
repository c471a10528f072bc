from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=50)
    left = models.IntegerField(default=10)

    def take(self, quantity):
        Item.objects.filter(pk=self.pk).update(left=models.F("left") - quantity)


class Movement(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE)
    quantity = models.IntegerField()
