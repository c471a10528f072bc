from django.db import models


class Gate(models.Model):
    width = models.IntegerField()
