"""Which personal data was erased, by whom and why: one row each time, which no purge deletes."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows import ids
from microworkflows.models.columns import PrimaryManager


class Erasure(models.Model):
    """An erasure of what flows about one object held."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=100, help_text=_("Of the object, with its key."))
    key = models.CharField(max_length=150)
    at = models.DateTimeField()
    by = models.CharField(max_length=255, help_text=_("Name of the person who erased it."))
    why = models.TextField(help_text=_("The reason that they gave."))
    erased = models.PositiveIntegerField(help_text=_("Number of rows from which something was erased."))
    kept = models.PositiveIntegerField(help_text=_("Number of rows that still hold something."))

    objects = PrimaryManager["Erasure"]()

    class Meta:
        db_table = "microworkflows_erasure"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"
