"""The history of messages that failed: each attempt with its error, and who replayed or dismissed the message, and why.

A row is added where a failure is kept and where somebody intervenes, in that transaction; nothing but an erasure changes it afterwards. Of a
message that was handled at once there is none.
"""

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows import ids
from microworkflows.models.columns import PrimaryManager


class HistoryEntry(models.Model):
    """Something that happened to a message."""

    class Kind(models.IntegerChoices):
        """What happened."""

        FAILED = 1, "failed"
        """An attempt failed, and another one follows."""
        PARKED = 2, "parked"
        """An attempt failed for good, or the relay could not bring the message back."""
        REPLAYED = 3, "replayed"
        DISMISSED = 4, "dismissed"
        ERASED = 5, "erased"
        """Personal data was erased from the message, and from the errors of the entries before."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    msg_id = models.CharField(max_length=100, help_text=_("Key of the message in the inbox."))
    kind = models.PositiveSmallIntegerField(choices=Kind)
    at = models.DateTimeField()
    fingerprint = models.CharField(
        max_length=16, help_text=_("Of the failure, or of the one before the intervention.")
    )
    attempt = models.PositiveIntegerField(
        null=True, help_text=_("Number of the attempt since the last replay; null: none was made.")
    )
    duration = models.FloatField(null=True, help_text=_("Of the attempt, in seconds; null: unknown."))
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    worker = models.CharField(
        max_length=255, blank=True, help_text=_("Name of the worker, such as payments@host.")
    )
    by = models.CharField(max_length=255, blank=True, help_text=_("Name of the person who intervened."))
    why = models.TextField(blank=True, help_text=_("The reason that they gave."))

    objects = PrimaryManager["HistoryEntry"]()

    class Meta:
        db_table = "microworkflows_history"
        verbose_name = _("history entry")
        verbose_name_plural = _("history entries")
        default_permissions = ()
        indexes = [
            models.Index(fields=["msg_id", "id"], name="microworkflows_history_msg_id"),
            models.Index(fields=["fingerprint", "at", "kind"], name="microworkflows_history_problem"),
        ]

    def __str__(self) -> str:
        return f"{self.msg_id} {self.Kind(self.kind).label}"

    @property
    def is_failure(self) -> bool:
        """True for an attempt that failed, False for an intervention."""
        return self.kind in FAILURES


FAILURES = (HistoryEntry.Kind.FAILED, HistoryEntry.Kind.PARKED)
"""Kinds of entries about failures."""


def of_messages(msg_ids: Iterable[str]) -> "models.QuerySet[HistoryEntry]":
    """Return the history of messages, by their keys, in the order in which it was written."""
    return HistoryEntry.objects.filter(msg_id__in=list(msg_ids)).order_by("id")
