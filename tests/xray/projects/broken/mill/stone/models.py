from django.db import models


class Stone(models.Model):
    sack = models.ForeignKey("flour.Sack", on_delete=models.CASCADE)


raise ValueError("Stones are counted from one.")
