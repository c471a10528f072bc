from django.db import models


class Bed(models.Model):
    number = models.IntegerField()


class Pillow(models.Model):
    beds = models.ManyToManyField(Bed)
