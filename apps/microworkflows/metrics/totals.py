"""The counters: totals that each scrape advances over the rows added since the last one, so that a purge takes nothing away.

A row is counted once it is a minute old, by the status that it then has. So a row counts whose transaction took less than that;
one that was open for longer, or was written by a clock that is a minute slow, may be missed: a counter never counts twice, and
never goes down. The totals are kept in a row for each of the two tables. Whoever holds its lock advances it; another scrape at
the same time tells the last totals. Counting begins at the first scrape.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connections, models, transaction
from django.db.models import Count, Sum
from django_outbox_pattern.models import Published, Received

from microworkflows import registry, times
from microworkflows.cloudevents import context_of
from microworkflows.metrics import database
from microworkflows.metrics.catalog import BUCKETS, EVENTS_RECORDED, HOP, MESSAGES_RECEIVED
from microworkflows.metrics.expressions import Bucket, Hop, Label, add_functions
from microworkflows.metrics.models import Tally
from microworkflows.metrics.samples import Sample
from microworkflows.metrics.tables import names
from microworkflows.models import InboxEvent, OutboxEvent

_COUNTED_AFTER: Final = timedelta(minutes=1)
_STEP: Final = 20_000
"""Rows that are counted in one transaction, for which no statement takes long."""
_SECONDS: Final = 1.0
"""Time after which a scrape begins no further step: after a pause, the next ones catch up."""

Totals = dict[str, dict[str, Any]]
"""By label: numbers by status, and of messages received the numbers by bucket and the sum of their hops."""


class _Room(NamedTuple):
    """A table that is counted."""

    name: str
    table: type[models.Model]
    add_up: Callable[[Totals, datetime, datetime], None]


def totals() -> Iterator[Sample]:
    """Advance the totals, and tell them."""
    yield from _of_outbox(_advance(_Room("outbox", Published, _count_events)))
    yield from _of_inbox(_advance(_Room("inbox", Received, _count_messages)))


def _advance(room: _Room) -> Totals:
    began = time.monotonic()
    while True:
        counted, is_done = _step(room)
        if is_done or time.monotonic() > began + _SECONDS:
            return counted


def _step(room: _Room) -> tuple[Totals, bool]:
    """Count the next rows; return the totals, and True if that is all for now."""
    horizon = datetime.now(UTC) - _COUNTED_AFTER
    with database.limited(), transaction.atomic(using=database.alias(), savepoint=False):
        tally = Tally.objects.select_for_update(skip_locked=True).filter(pk=room.name).first()
        if tally is None:  # the first scrape; or another one is counting at this moment
            new = Tally(name=room.name, upto=times.stored(horizon))
            Tally.objects.bulk_create([new], ignore_conflicts=True)
            return Tally.objects.get(pk=room.name).counted, True
        upto = times.aware(tally.upto)
        if horizon <= upto:
            return tally.counted, True
        until = _end_of_step(room.table, upto, horizon)
        room.add_up(tally.counted, times.stored(upto), times.stored(until))
        tally.upto = times.stored(until)
        tally.save(update_fields=["upto", "counted"])
        return tally.counted, until == horizon


def _end_of_step(table: type[models.Model], since: datetime, horizon: datetime) -> datetime:
    """Return the time up to which rows are counted now: those of one moment all at once."""
    rows = table._default_manager.using(database.alias()).filter(
        added__gte=times.stored(since), added__lt=times.stored(horizon)
    )
    for added in rows.order_by("added").values_list("added", flat=True)[_STEP : _STEP + 1]:
        return max(times.aware(added), since + timedelta(microseconds=1))
    return horizon


def _count_events(counted: Totals, since: datetime, until: datetime) -> None:
    rows = OutboxEvent.objects.filter(added__gte=since, added__lt=until).order_by()
    for event_type, status, number in rows.values_list("destination", "status").annotate(number=Count("pk")):
        _add(counted, event_type, status, number)


def _count_messages(counted: Totals, since: datetime, until: datetime) -> None:
    add_functions(connections[database.alias()])
    received = InboxEvent.objects.many().filter(added__gte=since, added__lt=until)
    rows = received.annotate(label=Label(), bucket=Bucket())
    grouped = rows.values_list("label", "status", "bucket").annotate(number=Count("pk"), seconds=Sum(Hop()))
    for label, status, bucket, number, seconds in grouped:
        total = _add(counted, label, status, number)
        if bucket is not None:
            buckets = total.setdefault("buckets", [0] * (len(BUCKETS) + 1))
            buckets[bucket] += number
            total["seconds"] = total.get("seconds", 0.0) + seconds


def _add(counted: Totals, label: str, status: int, number: int) -> dict[str, Any]:
    total = counted.setdefault(label, {"statuses": {}})
    key = str(int(status))  # JSON's keys are texts
    total["statuses"][key] = total["statuses"].get(key, 0) + number
    return total


def _of_outbox(counted: Totals) -> Iterator[Sample]:
    contexts = database.contexts()
    known = {each for each in registry.announced() if context_of(each) in contexts}
    for event_type in sorted(known | counted.keys()):
        total = counted.get(event_type, {"statuses": {}})
        for status in OutboxEvent.Status:
            number = total["statuses"].get(str(status.value), 0)
            yield Sample(EVENTS_RECORDED, (context_of(event_type), event_type, status.label), number)


def _of_inbox(counted: Totals) -> Iterator[Sample]:
    contexts = database.contexts()
    known = {workflow.label for workflow in registry.workflows() if workflow.context in contexts}
    for label in sorted(known | counted.keys()):
        total = counted.get(label, {"statuses": {}})
        for status in InboxEvent.Status:
            number = total["statuses"].get(str(status.value), 0)
            yield Sample(MESSAGES_RECEIVED, (*names(label), status.label), number)
        buckets = total.get("buckets", [0] * (len(BUCKETS) + 1))
        yield Sample(HOP, names(label), total.get("seconds", 0.0), buckets)
