from django.db import models


class Train(models.Model):
    number = models.CharField(max_length=9)
