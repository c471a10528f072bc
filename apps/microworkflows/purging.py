"""Retention: deletes rows that are done, and never one that somebody still has to act on."""

import time
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Exists, OuterRef
from django.db.models.functions import Right

from microworkflows import flows, times
from microworkflows.models import Heartbeat, InboxEvent, InboxQuerySet, OutboxEvent

_BATCH = 5_000
_REST = 3.0
"""Length of the rest after a batch, in durations of the batch, so that relay and workers do not notice the purge."""


class Purged(NamedTuple):
    """Numbers of deleted rows."""

    outbox: int
    inbox: int
    heartbeats: int
    guests: dict[str, int]
    """Numbers of rows that the guests of the core deleted, by a plural noun for people."""


def purge(*, before: datetime) -> Purged:
    """Delete relayed events, handled messages, heartbeats of workers that are gone, and the guests' rows from before a time.

    Rows go in batches, each in a transaction of its own, so that nobody waits long. The inbox row of a handled message
    makes a late duplicate harmless: keep it longer than any broker or backup may hold a message back. It stays as long
    as another message of its event waits or is parked, which may bring the event back.
    """
    before = times.stored(before)
    return Purged(
        outbox=delete_in_batches(
            OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED, added__lt=before)
        ),
        inbox=delete_in_batches(_settled(before=before)),
        heartbeats=delete_in_batches(Heartbeat.objects.filter(seen_at__lt=before), by="seen_at"),
        guests=flows.purge(before=before),
    )


def _settled(*, before: datetime) -> InboxQuerySet:
    """Return the messages handled before a time, of events that nobody else here is still to handle."""
    event = Right("msg_id", 36)
    still_open = InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).alias(event=event)
    handled = InboxEvent.objects.filter(
        status=InboxEvent.Status.HANDLED, added__lt=before, expires_at__lt=before
    )
    settled: InboxQuerySet = handled.alias(event=event).exclude(
        Exists(still_open.filter(event=OuterRef("event")))
    )
    return settled


def delete_in_batches(rows: "models.QuerySet[Any]", *, by: str = "added") -> int:
    """Delete rows in the order of a field, in batches with rests; return their number."""
    deleted, began = 0, time.monotonic()
    while ids := list(rows.order_by(by).values_list("pk", flat=True)[:_BATCH]):
        deleted += rows.filter(pk__in=ids).delete()[0]
        time.sleep(_REST * (time.monotonic() - began))
        began = time.monotonic()
    return deleted
