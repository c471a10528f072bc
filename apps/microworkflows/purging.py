"""Retention: deletes rows that are done, and never one that somebody still has to act on."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models, router
from django.db.models import Exists, OuterRef
from django.db.models.functions import Right

from microworkflows import flows, times, transactions
from microworkflows.models import EventOf, Heartbeat, HistoryEntry, InboxEvent, OutboxEvent

_BATCH = 5_000
_REST = 3.0
"""Length of the rest after a batch, in durations of the batch, so that relay and workers do not notice the purge."""


Which = Callable[["models.QuerySet[Any]"], "models.QuerySet[Any]"]
"""Takes the rows of a batch, returns some of them."""


class Purged(NamedTuple):
    """Numbers of deleted rows."""

    outbox: int
    inbox: int
    history: int
    heartbeats: int
    guests: dict[str, int]
    """Numbers of rows that the guests of the core deleted, by a plural noun for people."""


def purge(*, before: datetime) -> Purged:
    """Delete what is done and from before a time: relayed events, handled and dismissed messages, heartbeats, guests' rows.

    Rows go in batches, each in a transaction of its own, so that nobody waits long. The inbox row of a handled message
    makes a late duplicate harmless: keep it longer than any broker or backup may hold a message back. It stays as long
    as another message of its event waits or is parked, which may bring the event back. And it goes after the outbox row of
    its event, so that of an event with an outbox row it is known who has handled it. Its history goes with it.
    """
    event = OutboxEvent.objects.filter(pk=EventOf(OuterRef("msg_id")))
    message = InboxEvent.objects.filter(msg_id=OuterRef("msg_id"))
    before = times.stored(before)
    return Purged(
        outbox=delete_in_batches(
            OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED, added__lt=before)
        ),
        inbox=delete_in_batches(
            InboxEvent.objects.filter(
                ~Exists(event),
                status__in=[InboxEvent.Status.HANDLED, InboxEvent.Status.DISMISSED],
                added__lt=before,
                expires_at__lt=before,
            ),
            which=_settled,
        ),
        history=delete_in_batches(HistoryEntry.objects.filter(~Exists(message), at__lt=before), by="pk"),
        heartbeats=delete_in_batches(Heartbeat.objects.filter(seen_at__lt=before), by="seen_at"),
        guests=flows.purge(before=before),
    )


def _settled(handled: "models.QuerySet[Any]") -> "models.QuerySet[Any]":
    """Return those of a batch of messages that are done whose events nobody else here is still to handle."""
    event = Right("msg_id", 36)
    events = {msg_id[-36:] for msg_id in handled.values_list("msg_id", flat=True)}
    still_open: set[str] = set()
    for rows in (InboxEvent.objects.waiting(), InboxEvent.objects.parked()):  # each has an index of its own
        still_open.update(rows.annotate(event=event).filter(event__in=events).values_list("event", flat=True))
    settled: models.QuerySet[Any] = handled.alias(event=event).exclude(event__in=still_open)
    return settled


def delete_in_batches(
    rows: "models.QuerySet[Any]", *, by: str = "added", which: Which = lambda batch: batch
) -> int:
    """Delete rows in the order of a field, in batches with rests; return their number.

    Args:
        rows: What to delete.
        by: The field.
        which: Returns those of a batch that are to be deleted; the others stay.
    """
    deleted, left, began = 0, 0, time.monotonic()
    while ids := list(rows.order_by(by, "pk").values_list("pk", flat=True)[left : left + _BATCH]):
        with transactions.read_committed(using=router.db_for_write(rows.model)):
            number = which(rows.filter(pk__in=ids)).delete()[0]
        deleted += number
        left += len(ids) - number
        time.sleep(_REST * (time.monotonic() - began))
        began = time.monotonic()
    return deleted
