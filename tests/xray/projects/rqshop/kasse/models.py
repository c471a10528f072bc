from django.conf import settings
from django.db import models


class Bon(models.Model):
    ware = models.ForeignKey("lager.Ware", on_delete=models.PROTECT)
    kassierer = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    menge = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "till_receipt"
