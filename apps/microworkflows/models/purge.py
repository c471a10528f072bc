"""What was purged last: one row, by which processes take turns, and from which journeys know how far back rows may be missing."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

from microworkflows import times
from microworkflows.models.columns import DUE_AT_ONCE, PrimaryManager

_ONLY = 1


class Purge(models.Model):
    """The last purge of this database."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=_ONLY)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text=_("Null: it is under way, or its process died."))
    before = models.DateTimeField(help_text=_("Rows from before then may have been deleted, now or earlier."))
    deleted = models.PositiveBigIntegerField(
        default=0, help_text=_("Rows of outbox and inbox that it deleted.")
    )
    spared = models.PositiveBigIntegerField(
        default=0,
        help_text=_("Rows beyond their retention that it left, because their flows are unfinished."),
    )

    objects = PrimaryManager["Purge"]()

    class Meta:
        db_table = "microworkflows_purge"
        default_permissions = ()

    def __str__(self) -> str:
        return f"purge of {times.shown(self.began_at)}"


def last() -> Purge | None:
    """Return the last purge; None if there was none yet."""
    return Purge.objects.filter(pk=_ONLY).first()


def note_begin(*, before: datetime) -> None:
    """Note that a purge begins, of rows from before a time; what was purged earlier stays known."""
    now = times.now()
    row, is_new = Purge.objects.get_or_create(pk=_ONLY, defaults={"began_at": now, "before": before})
    if not is_new:
        Purge.objects.filter(pk=_ONLY).update(
            began_at=now,
            ended_at=None,
            before=times.stored(max(times.aware(before), times.aware(row.before))),
        )


def note_end(*, deleted: int, spared: int) -> None:
    """Note that the purge has ended."""
    Purge.objects.filter(pk=_ONLY).update(ended_at=times.now(), deleted=deleted, spared=spared)


def take_turn(*, every: timedelta) -> bool:
    """Return True to one of several processes that ask, if the last purge began so long ago, or there was none."""
    now = times.now()
    beginning = {"began_at": now, "before": times.stored(DUE_AT_ONCE)}
    _, is_new = Purge.objects.get_or_create(pk=_ONLY, defaults=beginning)
    due = Purge.objects.filter(pk=_ONLY, began_at__lte=now - every)
    return is_new or bool(due.update(began_at=now, ended_at=None))
