"""Retention: deletes rows that are done, and never one that somebody still has to act on, nor one of an unfinished flow."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict

from django.db import models, router
from django.db.models import Exists, F, OuterRef, Q

from microworkflows import flows, registry, retentions, times, transactions, unreceived
from microworkflows.events import Event
from microworkflows.models import (
    CorrelationOf,
    EventOf,
    Heartbeat,
    HistoryEntry,
    Hold,
    InboxEvent,
    OutboxEvent,
)
from microworkflows.models import purge as notes

_BATCH = 500
_DONE = (OutboxEvent.Status.RELAYED, OutboxEvent.Status.CANCELLED)
_REST = 3.0
"""Length of the rest after a batch, in durations of the batch, so that relay and workers do not notice the purge."""

Rest = Callable[[float], object]
"""Takes a number of seconds, and returns after them, or sooner if the purge is to end; it may raise."""


class Purged(NamedTuple):
    """Numbers of deleted rows."""

    outbox: int
    inbox: int
    spared: int
    """Number of rows beyond their retention that stay, because their flows are unfinished."""
    history: int
    heartbeats: int
    holds: int
    """Number of holds that were over."""
    guests: dict[str, int]
    """Numbers of rows that the guests of the core deleted, by a plural noun for people."""


def purge(
    *,
    now: datetime,
    age: timedelta | None = None,
    although_unreceived: bool = False,
    rest: Rest = time.sleep,
) -> Purged:
    """Delete what is done and older than its retention: relayed events and cancelled timers, handled and dismissed messages, heartbeats, guests' rows.

    A flow is *unfinished* while one of its events is pending, scheduled, unheard or rejected, one of its messages waits or is parked, or a
    microworkflow whose inbox is here has not received an event that it listened to. All rows of such a flow stay.

    Rows go in batches, each in a short transaction of its own, which waits for nobody. The inbox row of a handled message
    makes a late duplicate harmless: keep it longer than any broker or backup may hold a message back. It goes after the
    outbox row of its event, so that of an event with an outbox row it is known who has handled it. Its history goes with it.

    Args:
        now: The present time.
        age: Age of the rows, in place of each one's retention.
        although_unreceived: True to delete also what a listener has not received.
        rest: Called between two batches.
    """
    default = retentions.default() if age is None else age
    notes.note_begin(before=times.stored(now - _shortest(default, age)))
    unfinished = _Unfinished(although_unreceived=although_unreceived)
    outbox, inbox, ages = _Count(), _Count(), _Ages(now=now, default=default, age=age)
    for rows, before in _by_retention(_done(), registry.announcements(), "destination", **ages):
        outbox += _delete(rows.filter(added__lt=before), rest=rest, spares=unfinished)
    event = OutboxEvent.objects.filter(pk=EventOf(OuterRef("msg_id")))
    done = InboxEvent.objects.filter(
        ~Exists(event), status__in=[InboxEvent.Status.HANDLED, InboxEvent.Status.DISMISSED]
    )
    for rows, before in _by_retention(done, registry.readings(), "headers__type", **ages):
        inbox += _delete(rows.filter(added__lt=before, expires_at__lt=before), rest=rest, spares=unfinished)
    message = InboxEvent.objects.filter(msg_id=OuterRef("msg_id"))
    before = times.stored(now - default)
    notes.note_end(deleted=outbox.deleted + inbox.deleted, spared=outbox.spared + inbox.spared)
    return Purged(
        outbox=outbox.deleted,
        inbox=inbox.deleted,
        spared=outbox.spared + inbox.spared,
        history=_delete(
            HistoryEntry.objects.filter(~Exists(message), at__lt=before), by="pk", rest=rest
        ).deleted,
        heartbeats=_delete(Heartbeat.objects.filter(seen_at__lt=before), by="seen_at", rest=rest).deleted,
        holds=_delete(
            Hold.objects.filter(Q(ended_at__lt=before) | Q(ended_at=None, ends_at__lt=before)),
            by="began_at",
            rest=rest,
        ).deleted,
        guests=flows.purge(before=before),
    )


def delete_in_batches(rows: "models.QuerySet[Any]", *, by: str = "added", rest: Rest = time.sleep) -> int:
    """Delete rows in the order of a field, in batches with rests; return their number. What somebody has locked stays."""
    return _delete(rows, by=by, rest=rest).deleted


def _shortest(default: timedelta, age: timedelta | None) -> timedelta:
    """Return the age of the youngest rows that go."""
    if age is not None:
        return age
    own = (retentions.own(registry.announcements()), retentions.own(registry.readings()))
    return min([default, *(each for declared in own for each in declared.values())])


def _done() -> "models.QuerySet[Any]":
    return OutboxEvent.objects.filter(status__in=_DONE)


def _by_retention(
    rows: "models.QuerySet[Any]",
    declared: Iterable[type[Event]],
    field: str,
    *,
    now: datetime,
    default: timedelta,
    age: timedelta | None,
) -> "Iterator[tuple[models.QuerySet[Any], datetime]]":
    """Yield rows with the time before which they are old: those of types with a retention of their own, then the others."""
    own = retentions.own(declared) if age is None else {}
    for retention in sorted(set(own.values())):
        types = [event_type for event_type, its in own.items() if its == retention]
        yield rows.filter(**{f"{field}__in": types}), times.stored(now - retention)
    yield rows.exclude(**{f"{field}__in": list(own)}) if own else rows, times.stored(now - default)


class _Unfinished:
    """Tells which of some flows are unfinished; what was found of the flows of one batch is known for the next."""

    def __init__(self, *, although_unreceived: bool) -> None:
        self._although_unreceived = although_unreceived
        self._known: dict[str, bool] = {}

    def among(self, correlation_ids: Collection[str]) -> set[str]:
        """Return those of the flows that are unfinished; each has its entries in two indexes."""
        new = {each for each in correlation_ids if each not in self._known}
        found = self._find(new) if new else set()
        self._known = {each: each in found if each in new else self._known[each] for each in correlation_ids}
        return {each for each, is_unfinished in self._known.items() if is_unfinished}

    def _find(self, correlation_ids: Collection[str]) -> set[str]:
        of_these = {"flow__in": list(correlation_ids)}
        sent = OutboxEvent.objects.annotate(flow=CorrelationOf("body")).filter(**of_these)
        received = InboxEvent.objects.many().annotate(flow=CorrelationOf("body")).filter(**of_these)
        found = {
            *sent.exclude(status__in=_DONE).values_list("flow", flat=True).distinct(),
            *received.failing().values_list("flow", flat=True).distinct(),
        }
        if not self._although_unreceived:
            found |= {each.flow for each in unreceived.of_flows(correlation_ids)}
        return found


class _Ages(TypedDict):
    now: datetime
    default: timedelta
    age: timedelta | None


class _Count(NamedTuple):
    deleted: int = 0
    spared: int = 0

    def __add__(self, other: Any) -> "_Count":
        return _Count(self.deleted + other.deleted, self.spared + other.spared)


def _delete(
    rows: "models.QuerySet[Any]", *, by: str = "added", rest: Rest, spares: _Unfinished | None = None
) -> _Count:
    """Delete rows in the order of a field, each batch from where the last one ended: no row is looked at twice."""
    using, count, last = router.db_for_write(rows.model), _Count(), None
    rows = rows.using(using).order_by(by, "pk")
    if spares is not None:
        rows = rows.annotate(flow=CorrelationOf("body"))
    while True:
        began = time.monotonic()
        further = rows if last is None else rows.filter(_after(by, *last))
        # As an expression: a field that is named twice, Django 5.2 returns once.
        fields = (F(by), "pk", "flow") if spares else (F(by), "pk")
        batch = list(further.values_list(*fields)[:_BATCH])
        if not batch:
            return count
        last = batch[-1][:2]
        kept = spares.among({row[2] for row in batch}) if spares else set()
        ids = [row[1] for row in batch if not (spares and row[2] in kept)]
        with transactions.waiting_for_nobody(using=using):
            free = rows.filter(pk__in=ids).order_by().select_for_update(skip_locked=True, of=["self"])
            number = rows.filter(pk__in=list(free.values_list("pk", flat=True))).order_by().delete()[0]
        count += _Count(number, len(batch) - len(ids))
        rest(_REST * (time.monotonic() - began))


def _after(by: str, value: Any, pk: Any) -> Q:
    if by == "pk":
        return Q(pk__gt=pk)
    value = times.stored(value)
    return Q(**{f"{by}__gte": value}) & (Q(**{f"{by}__gt": value}) | Q(pk__gt=pk))
