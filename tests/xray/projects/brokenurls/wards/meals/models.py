from django.db import models


class Meal(models.Model):
    bed = models.ForeignKey("beds.Bed", on_delete=models.CASCADE)
