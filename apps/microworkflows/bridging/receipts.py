"""Receipts: events recorded in this database that a context has received neither here nor in the database where it now works."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import router

from microworkflows import flows, ids, registry, times
from microworkflows.cloudevents import mark_of
from microworkflows.models import InboxEvent, OutboxEvent, message_id
from microworkflows.unreceived import Missing

_AT_ONCE = 1_000
_CLOCKS = timedelta(hours=1)
"""Most that an id's time and that of the recording may differ."""


@dataclass
class Receipts:
    """What a context got of the events of a span of time."""

    received: int = 0
    missing: Counter[Missing] = field(default_factory=Counter)
    """Relayed, and not received."""
    unrelayed: Counter[Missing] = field(default_factory=Counter)
    """Pending, unheard or rejected: they have not left."""
    flows: int = 0
    """Number of flows with an event that is missing or has not left."""
    waiting: int = 0
    parked: int = 0


def of(context: str, *, database: str, since: datetime, until: datetime) -> Receipts:
    """Look up each event that a context's microworkflows listened to, in the inbox here and in another database.

    Args:
        context: Label of the context, which must be installed here.
        database: Alias of the database where the context works.
        since: Time of the first recording.
        until: Time of the last; what is younger may be under way.
    """
    found, open_flows = Receipts(), set[str]()
    listeners: dict[str, list[str]] = {}
    for workflow in registry.workflows():
        if workflow.context == context:
            for event_type in workflow.types:
                listeners.setdefault(event_type, []).append(workflow.label)
    rows = OutboxEvent.objects.filter(
        destination__in=listeners,
        pk__gte=ids.lowest(times.aware(since) - _CLOCKS),
        added__gte=times.stored(since),
        added__lt=times.stored(until),
    ).exclude(status=OutboxEvent.Status.CANCELLED)
    for batch in _batches(rows.order_by("pk").iterator(chunk_size=_AT_ONCE)):
        expected = {
            message_id(label, row.event_id): (row, label)
            for row in batch
            for label in listeners[row.type]
            if (row.listeners is None or label in row.listeners)
            and not flows.is_left_to_nobody(label, mark_of(row.body))
        }
        got = {
            key
            for alias in {router.db_for_write(InboxEvent), database}
            for key in InboxEvent.objects.using(alias)
            .filter(msg_id__in=list(expected))
            .values_list("msg_id", flat=True)
        }
        found.received += len(got)
        for key in expected.keys() - got:
            row, label = expected[key]
            relayed = row.status == OutboxEvent.Status.RELAYED
            (found.missing if relayed else found.unrelayed)[Missing(row.type, label)] += 1
            open_flows.add(row.correlation_id)
    found.flows = len(open_flows)
    inbox = InboxEvent.objects.using(database)
    found.waiting = inbox.waiting().of_context(context).count()
    found.parked = inbox.parked().of_context(context).count()
    return found


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, _AT_ONCE)):
        yield batch
