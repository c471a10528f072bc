"""What people do about problems: to whom one is assigned, and which messages a replay has brought back, with the outcomes."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from microworkflows.models import PrimaryManager


class Problem(models.Model):
    """What is noted of the failures with one fingerprint; most have no row."""

    fingerprint = models.CharField(primary_key=True, max_length=16)
    assigned_to = models.CharField(max_length=255, blank=True, help_text=_("Name of a user; empty: nobody."))
    assigned_at = models.DateTimeField()

    objects = PrimaryManager["Problem"]()

    class Meta:
        default_permissions = ("view",)
        permissions = [("assign_problem", "Can assign problems to users")]

    def __str__(self) -> str:
        return self.fingerprint


class Replay(models.Model):
    """The replay of a problem's messages, so many a second."""

    fingerprint = models.CharField(max_length=16)
    context = models.CharField(
        max_length=255, help_text=_("Label of the context whose relay goes on with it.")
    )
    by = models.CharField(max_length=255)
    why = models.TextField(blank=True)
    per_second = models.PositiveIntegerField(help_text=_("Most messages that it brings back in a second."))
    began_at = models.DateTimeField()
    advanced_at = models.DateTimeField(
        help_text=_("Up to when its pace is used up, on the database's clock.")
    )
    ended_at = models.DateTimeField(
        null=True, help_text=_("When nothing was left to do, or somebody stopped it.")
    )
    stopped_by = models.CharField(max_length=255, blank=True)

    objects = PrimaryManager["Replay"]()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=Q(ended_at__isnull=True),
                name="microworkflows_problems_one_replay",
            ),
        ]
        indexes = [
            models.Index(fields=["fingerprint", "began_at"], name="mw_problems_replay_of"),
            models.Index(fields=["ended_at"], name="mw_problems_replay_ended"),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk} of {self.fingerprint}"

    def allowance(self, now: datetime) -> int:
        """Return how many messages may be brought back now; after a break, at most two seconds' worth at once."""
        elapsed = min((now - self.advanced_at).total_seconds(), 2.0)
        return max(int(elapsed * self.per_second), 0)


class ReplayedMessage(models.Model):
    """A message that failed when its replay began."""

    class Outcome(models.IntegerChoices):
        """Where the replay stands with it."""

        TO_COME = 0, "still to come"
        SENT = 1, "on its way"
        HANDLED = 2, "handled"
        FAILED = 3, "failed again"
        """At its first attempt since; it may have been handled later."""
        LEFT = 4, "left alone"
        """A worker had it in hand, or it was dismissed, or is no longer in the inbox, or the replay was stopped."""

    replay = models.ForeignKey(Replay, models.CASCADE, related_name="messages")
    msg_id = models.CharField(max_length=100, help_text=_("Key of the message in the inbox."))
    outcome = models.PositiveSmallIntegerField(choices=Outcome, default=Outcome.TO_COME)

    objects = PrimaryManager["ReplayedMessage"]()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["replay", "outcome", "id"], name="mw_problems_message_outcome")]

    def __str__(self) -> str:
        return f"{self.msg_id} {self.Outcome(self.outcome).label}"
