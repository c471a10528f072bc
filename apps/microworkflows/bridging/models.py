"""The mark of each row of the past that was recorded, so that it is recorded once."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Bootstrapped(models.Model):
    """A row that was recorded as an event of the past, in the transaction of the event."""

    id = models.UUIDField(primary_key=True, help_text=_("Made of the type, the context and the row's key."))
    event_type = models.CharField(max_length=255)
    only_for = models.CharField(
        max_length=255, blank=True, help_text=_("Label of a context; empty: every one.")
    )
    run = models.UUIDField(help_text=_("The run of the command that recorded it."))
    recorded_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["event_type", "only_for"], name="microworkflows_bootstrapped"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.pk}"
