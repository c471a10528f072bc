"""The workers' heartbeats, one row for each worker at each queue."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows.models.columns import PrimaryManager


class Heartbeat(models.Model):
    """The last sign of life of a worker at one queue that it consumes; :mod:`microworkflows.heartbeats` writes and reads it."""

    queue = models.CharField(max_length=255)
    worker = models.CharField(max_length=255, help_text=_("Celery's name of it, such as payments@host."))
    host = models.CharField(max_length=255)
    pid = models.PositiveBigIntegerField(help_text=_("Of the worker's parent process."))
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, help_text=_("When it stopped consuming, if it was told to."))
    handling = models.PositiveIntegerField(
        help_text=_("Messages in the hands of its processes, of all its queues.")
    )
    depth = models.PositiveBigIntegerField(
        null=True, help_text=_("Messages that waited in the queue; null: unknown.")
    )

    objects = PrimaryManager["Heartbeat"]()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["queue", "worker"], name="microworkflows_one_heartbeat"),
        ]

    def __str__(self) -> str:
        return f"{self.worker} at {self.queue}"
