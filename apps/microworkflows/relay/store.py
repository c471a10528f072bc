"""The relay's view of the database: which messages are due, and what became of those that were published."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import router
from django.db.models import TextField
from django.db.models.functions import Cast

from microworkflows import conf
from microworkflows.inbox import retry_delay
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay.publisher import Message, Outcome


def due_events(context: str, *, limit: int, now: datetime) -> list[Message]:
    """Return the context's next events to be published, in the order in which they were recorded."""
    rows = (
        OutboxEvent.objects.using(router.db_for_write(OutboxEvent))
        .pending(context=context)
        .filter(expires_at__lte=now)
        .annotate(text=Cast("body", TextField()))
        .values_list("pk", "destination", "text")
    )
    return [Message(*row) for row in rows[:limit]]


def mark_events(outcome: Outcome, *, now: datetime) -> None:
    """Keep what became of published events; what the broker did not tell of stays pending."""
    _set_status(outcome.confirmed, OutboxEvent.Status.RELAYED)
    _set_status(outcome.unheard, OutboxEvent.Status.UNHEARD)
    for row in OutboxEvent.objects.using(router.db_for_write(OutboxEvent)).filter(pk__in=outcome.refused):
        row.retry += 1
        OutboxEvent.objects.filter(pk=row.pk).update(
            retry=row.retry,
            expires_at=now + retry_delay(row.retry),
            headers={**row.headers, "error": outcome.refused[row.pk]},
        )


def due_retries(context: str, *, limit: int, now: datetime) -> list[Message]:
    """Return the messages in the context's inbox that are to be handled again, addressed to its queue."""
    rows = (
        InboxEvent.objects.using(router.db_for_write(InboxEvent))
        .waiting()
        .of_context(context)
        .filter(expires_at__lte=now)
        .annotate(text=Cast("body", TextField()))
        .values_list("pk", "text", "retry")
    )
    return [Message(pk, context, text, attempt) for pk, text, attempt in rows[:limit]]


def mark_retries(outcome: Outcome, *, now: datetime) -> None:
    """Lease what was redelivered: unless it is handled meanwhile, it is due again afterwards.

    ``now`` is the time at which it was found due: what has failed once more since then has its next attempt set
    already. A message that was received when nobody listened to it leaves the inbox: it is received anew.
    """
    due = InboxEvent.objects.filter(status=InboxEvent.Status.WAITING, expires_at__lte=now)
    redelivered = due.filter(pk__in=outcome.confirmed)
    redelivered.exclude(msg_id__contains=".").delete()
    redelivered.update(expires_at=now + timedelta(seconds=conf.current().redelivery_lease))
    failed = [*outcome.refused, *outcome.unheard]
    InboxEvent.objects.filter(pk__in=failed, status=InboxEvent.Status.WAITING).update(
        expires_at=now + retry_delay(1)
    )


def _set_status(ids: Sequence[UUID], status: OutboxEvent.Status) -> None:
    if ids:
        OutboxEvent.objects.filter(pk__in=ids, status=OutboxEvent.Status.PENDING).update(status=status)
