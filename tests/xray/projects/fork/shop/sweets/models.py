from django.db import models
from kiosk.sweets.abstract import AbstractSweet


class Sweet(AbstractSweet):
    sugar = models.IntegerField(default=100)
