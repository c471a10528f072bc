from django.db import models
from wards.beds.models import Bed


class Sheet(models.Model):
    bed = models.ForeignKey(Bed, on_delete=models.CASCADE)
