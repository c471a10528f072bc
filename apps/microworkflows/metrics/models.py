"""The table of the counters: what was recorded and received since the first scrape, whatever was purged since."""

from django.db import models

from microworkflows.models import PrimaryManager


class Tally(models.Model):
    """Running totals over one table, advanced by each scrape; :mod:`microworkflows.metrics.totals` says how."""

    name = models.CharField(max_length=20, primary_key=True)
    upto = models.DateTimeField(help_text="Rows added before this time are counted.")
    counted = models.JSONField(default=dict, help_text="Totals by label.")

    objects = PrimaryManager["Tally"]()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} up to {self.upto}"
