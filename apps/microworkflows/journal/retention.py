"""Retention: deletes flows that have ended, with all that belongs to them, and what else the journal no longer needs."""

from datetime import datetime, timedelta

from django.db import router

from microworkflows import transactions
from microworkflows.journal import conf
from microworkflows.journal.models import Alarm, Alert, Attempt, Delivery, Event, Flow, Gap, Minute, Process
from microworkflows.purging import delete_in_batches

_BATCH = 500


def purge(*, now: datetime) -> dict[str, int]:
    """Delete what is older than ``JOURNAL_RETENTION_DAYS``; flows that are on their way or have failed stay."""
    before = now - age()
    return {
        "flows of the journal": _flows(before),
        "minutes of the journal": delete_in_batches(Minute.objects.filter(at__lt=before), by="at"),
        "gaps of the journal": delete_in_batches(Gap.objects.filter(until__lt=before), by="until"),
        "messages about alarms": delete_in_batches(Alert.objects.filter(done_at__lt=before), by="done_at"),
        "processes of the journal": delete_in_batches(
            Process.objects.filter(seen_at__lt=before, gaps__isnull=True), by="seen_at"
        ),
    }


def age() -> timedelta:
    """Return ``JOURNAL_RETENTION_DAYS``."""
    return timedelta(days=conf.current().journal_retention_days)


def _flows(before: datetime) -> int:
    """Delete flows from the leaves to the root, so that Django need not look for what hangs on each row."""
    ended = Flow.objects.filter(last_at__lt=before, state__in=(Flow.State.DONE, Flow.State.UNKNOWN))
    deleted = 0
    while ids := list(ended.order_by("last_at").values_list("pk", flat=True)[:_BATCH]):
        with transactions.read_committed(using=router.db_for_write(Flow)):
            Attempt.objects.filter(delivery__event__flow__in=ids).delete()
            Delivery.objects.filter(event__flow__in=ids).delete()
            Event.objects.filter(flow__in=ids).delete()
            Alarm.objects.filter(flow__in=ids).delete()
            Flow.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted
