"""The bindings that processes of this database have declared at the broker, one row each."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows.models.columns import PrimaryManager


class DeclaredBinding(models.Model):
    """A binding of a queue, by names at the broker; :mod:`microworkflows.declared` writes and reads it."""

    exchange = models.CharField(max_length=255)
    queue = models.CharField(max_length=255)
    routing_key = models.CharField(max_length=255)
    since = models.DateTimeField(help_text=_("When a process declared it first."))
    declared_at = models.DateTimeField(
        help_text=_("When a process declared it last; one that lives does every minute.")
    )

    objects = PrimaryManager["DeclaredBinding"]()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "queue", "routing_key"], name="microworkflows_one_binding"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue} to {self.routing_key}"
