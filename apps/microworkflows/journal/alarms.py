"""Alarms for pages, commands and metrics: what is overdue now, by context and in rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from microworkflows.journal.models import Alarm


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """An event that has not come in time."""

    subject: str
    correlation_id: str
    awaited: str
    of: str
    due_at: datetime
    owner: str
    """Context that has to act."""
    cause: str
    details: str


def overdue(*, most: int, owner: str | None = None) -> list[Overdue]:
    """Return what is overdue, the longest first."""
    alarms = Alarm.objects.filter(closed_at=None).select_related("flow").order_by("due_at")
    if owner is not None:
        alarms = alarms.filter(owner=owner)
    return [
        Overdue(
            subject=str(alarm.flow),
            correlation_id=alarm.flow.correlation_id,
            awaited=alarm.awaited,
            of=alarm.of,
            due_at=alarm.due_at,
            owner=alarm.owner,
            cause=alarm.cause,
            details=alarm.details,
        )
        for alarm in alarms[:most]
    ]


def flows_by_owner() -> Mapping[str, int]:
    """Return the number of overdue flows by the context that has to act; a context without any is left out."""
    return _flows_by("owner")


def flows_by_cause() -> Mapping[str, int]:
    """Return the number of overdue flows by likely cause."""
    return _flows_by("cause")


def _flows_by(field: str) -> Mapping[str, int]:
    open_alarms = Alarm.objects.filter(closed_at=None).order_by()
    return dict(open_alarms.values_list(field).annotate(number=Count("flow", distinct=True)))
