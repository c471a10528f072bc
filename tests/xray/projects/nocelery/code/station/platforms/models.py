from django.db import models
from django.db.models.signals import post_delete
from station.trains.models import Train


class Platform(models.Model):
    train = models.ForeignKey(Train, null=True, on_delete=models.SET_DEFAULT, default=None)

    @staticmethod
    def empty(sender, instance, **kwargs):
        Platform.objects.filter(train=None).update(train=None)


class Board:
    def connect(self):
        post_delete.connect(self.wipe, sender=Train)

    def wipe(self, **kwargs):
        return kwargs


post_delete.connect(Platform.empty, sender="trains.Train")
