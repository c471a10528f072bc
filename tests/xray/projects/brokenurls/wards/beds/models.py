from django.db import models


class Bed(models.Model):
    number = models.IntegerField()
