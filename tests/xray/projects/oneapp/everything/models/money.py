from django.db import models

from .people import Person


class Account(models.Model):
    owner = models.ForeignKey(Person, on_delete=models.CASCADE)
    seen_by = models.ManyToManyField(Person, related_name="seen")


class Coin(models.Model):
    account = models.ForeignKey(Account, on_delete=models.CASCADE)


class Parcel(models.Model):
    coin = models.ForeignKey(Coin, null=True, on_delete=models.SET_NULL)
