from django.db import models


class Parcel(models.Model):
    recipient = models.CharField(max_length=100)
    accepted_at = models.DateTimeField(auto_now_add=True)
    label = models.TextField(blank=True)

    class Meta:
        db_table = "dp_parcel"
