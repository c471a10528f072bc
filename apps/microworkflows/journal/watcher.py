"""The watcher: raises an alarm, once, for each event that does not come in time, and closes it when it comes or the flow ends.

The collector calls :func:`watch` about once a second; ``manage.py journal_watch`` does so alone. Several may watch: the constraint of
the table lets one of them raise. Deadlines are declared, and never learned.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q

from microworkflows import texts, times
from microworkflows.journal import alerts, lateness, signals
from microworkflows.journal.lateness import Miss
from microworkflows.journal.models import Alarm, Delivery, Event, Flow
from microworkflows.journal.reasons import Reason, Reasons
from microworkflows.journal.states import Declared

logger = logging.getLogger(__name__)

MOST_RAISED: Final = 200
"""Number of alarms that one round raises or closes: what is more waits for the next."""

LONGEST_SECONDS: Final = 0.5
"""Time after which a round raises no more: the collector has notices to write."""

BEHIND: Final = timedelta(seconds=60)
"""Age of the newest thing that the journal knows at which the log says that nobody can judge."""

_PAUSE = timedelta(minutes=10)
_said_at = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Round:
    """Outcome of one round."""

    raised: int = 0
    closed: int = 0
    held: int = 0
    """Number of events that may be late, and of which nobody can tell yet."""
    told_until: datetime | None = None
    """Time until which the journal knows what happened; None if it has heard from nobody lately."""


def watch(now: datetime) -> Round:
    """Raise and close what is due, and send the messages about it."""
    now = times.aware(now)
    closed = _close(now)
    until = lateness.told_until(now=now)
    if until is None or now - until > BEHIND:
        _say_unknown(now, until)
    raised, held = (0, 0) if until is None else _raise(now, until)
    alerts.send_soon(now)
    return Round(raised=raised, closed=closed, held=held, told_until=until)


def _raise(now: datetime, until: datetime) -> tuple[int, int]:
    flows = lateness.candidates(until)
    if not flows:
        return 0, 0
    misses = lateness.unmet(flows, Declared.read())
    told = lateness.told(misses)
    reasons, raised, held = Reasons(now=now), 0, 0
    ends_at = time.monotonic() + LONGEST_SECONDS
    for miss in misses:
        if miss in told or miss.due_at > until:
            continue
        reason = reasons.of(miss, until=until)
        if reason is None:
            held += 1
        else:
            raised += _raised(miss, reason, now)
            told.add(miss)
        if raised >= MOST_RAISED or time.monotonic() > ends_at:
            break
    lateness.note(flows, misses, told, until=until)
    return raised, held


def _say_unknown(now: datetime, until: datetime | None) -> None:
    """Log, now and then, that flows may be overdue, and that the journal cannot tell."""
    global _said_at
    if now - _said_at < _PAUSE or not (number := _due(now - BEHIND)):
        return
    _said_at = now
    since = "for a minute" if until is None else f"of anything since {until.isoformat(timespec='seconds')}"
    logger.warning(
        "the journal has not heard %s: whether %d flows are overdue is unknown; do collector, workers and broker run?",
        since,
        number,
    )


def _due(until: datetime) -> int:
    return Flow.objects.filter(due_at__lte=times.stored(until)).count()


def _raised(miss: Miss, reason: Reason, now: datetime) -> bool:
    """Store an alarm, with its message, and tell of it; False if another watcher has done so."""
    with transaction.atomic(using=router.db_for_write(Alarm)):
        alarm, is_new = Alarm.objects.get_or_create(
            flow=miss.flow,
            awaited=miss.awaited,
            of=miss.of,
            defaults={
                "due_at": times.stored(miss.due_at),
                "raised_at": times.stored(now),
                "owner": reason.owner,
                "cause": reason.cause,
                "details": reason.details,
            },
        )
        if is_new:
            alerts.note(alarm, now=now)
    if is_new:
        logger.error(
            "%s is overdue: %s was due %s, after %s: %s",
            *(texts.line(miss.flow), miss.awaited, miss.due_at.isoformat(timespec="seconds"), miss.of),
            texts.line(reason.details),
            extra=_fields(alarm),
        )
        signals.overdue.send_robust(Alarm, alarm=alarm)
    return is_new


def _close(now: datetime) -> int:
    """Close the alarms whose event has come, or whose flow has ended or was given up."""
    came = Event.objects.filter(flow=OuterRef("flow"), type=OuterRef("awaited"))
    dismissed = Delivery.objects.filter(event__flow=OuterRef("flow"), status=Delivery.Status.DISMISSED)
    ended = Q(flow__overdue_at=None) | Exists(came) | (Q(flow__state=Flow.State.DONE) & Exists(dismissed))
    over = Alarm.objects.filter(ended, closed_at=None).select_related("flow").order_by("raised_at")
    return sum(_closed(alarm, now) for alarm in over[:MOST_RAISED])


def _closed(alarm: Alarm, now: datetime) -> bool:
    alarm.closed_at = times.stored(now)
    with transaction.atomic(using=router.db_for_write(Alarm)):
        is_mine = bool(Alarm.objects.filter(pk=alarm.pk, closed_at=None).update(closed_at=alarm.closed_at))
        if is_mine:
            alerts.note(alarm, now=now)
    if is_mine:
        logger.info(
            "%s is no longer overdue: it waits for %s no more",
            texts.line(alarm.flow),
            alarm.awaited,
            extra=_fields(alarm),
        )
        signals.overdue_ended.send_robust(Alarm, alarm=alarm)
    return is_mine


def _fields(alarm: Alarm) -> dict[str, str]:
    return {
        "correlation_id": alarm.flow.correlation_id,
        "subject": str(alarm.flow),
        "awaited": alarm.awaited,
        "of": alarm.of,
        "owner": alarm.owner,
        "cause": alarm.cause,
    }
