"""Retention: deletes what is done, and never what somebody still has to act on."""

import time
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models

from microworkflows.models import InboxEvent, OutboxEvent

_BATCH = 5_000
_REST = 3.0
"""So many times as long as a batch took nothing is deleted: the relay and the workers are to notice nothing of it."""


class Purged(NamedTuple):
    """How many rows were deleted."""

    outbox: int
    inbox: int
    comparisons: int = 0
    """Of shadow runs, where a monolith is being cut over."""


def purge(*, before: datetime) -> Purged:
    """Delete relayed events, handled messages and shadow comparisons from before a time.

    In batches, each in a transaction of its own, so that nobody waits long. The inbox row of a handled message is
    what makes a late duplicate harmless: keep it longer than any broker, backup or replay may hold a message back.
    """
    return Purged(
        outbox=_delete(OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED, added__lt=before)),
        inbox=_delete(
            InboxEvent.objects.filter(
                status=InboxEvent.Status.HANDLED, added__lt=before, expires_at__lt=before
            )
        ),
        comparisons=_purge_comparisons(before),
    )


def _purge_comparisons(before: datetime) -> int:
    if not apps.is_installed("microworkflows.cutover"):
        return 0
    from microworkflows.cutover.models import ShadowComparison

    return _delete(ShadowComparison.objects.filter(compared_at__lt=before), by="compared_at")


def _delete(rows: "models.QuerySet[Any]", *, by: str = "added") -> int:
    deleted, began = 0, time.monotonic()
    while ids := list(rows.order_by(by).values_list("pk", flat=True)[:_BATCH]):
        deleted += rows.filter(pk__in=ids).delete()[0]
        time.sleep(_REST * (time.monotonic() - began))
        began = time.monotonic()
    return deleted
