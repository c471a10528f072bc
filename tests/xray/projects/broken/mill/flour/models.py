from django.db import models
from grain.fields import WeightField
from grain.models import Weighed


class Sack(Weighed, models.Model):
    weight = WeightField(unit="kg")
    gate = models.ForeignKey("sluice.Gate", on_delete=models.CASCADE)
