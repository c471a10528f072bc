"""Rates: up to when the runs of a microworkflow are given out, of which no more may begin in a time than it declares."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows.models.columns import PrimaryManager


class RunRate(models.Model):
    """The runs that a microworkflow has been given."""

    label = models.CharField(primary_key=True, max_length=255)
    given_until = models.DateTimeField(help_text=_("Time up to which runs are given out."))
    last_turn = models.DateTimeField(help_text=_("Time of the last turn that a waiting message was given."))

    objects = PrimaryManager["RunRate"]()

    class Meta:
        db_table = "microworkflows_runrate"
        default_permissions = ()

    def __str__(self) -> str:
        return f"rate of {self.label}"
