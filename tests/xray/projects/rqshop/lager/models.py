from django.db import models


class Ware(models.Model):
    name = models.CharField(max_length=80, db_column="bezeichnung")
    preis = models.IntegerField()
    verkauft = models.IntegerField(default=0)
