"""Feeding: events that were recorded before a context listened go to its queue alone, in batches that the context's relay publishes.

A fed row is pending once more, under the name of one queue. That it was fed stays on the row, so a feed that was stopped goes on
where it ended, and one that is repeated finds nothing left to do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep
from uuid import UUID

from django.db import connections, router
from django.db.models import Q

from microworkflows import ids, registry, times, transactions, wakeup
from microworkflows.cloudevents import context_of
from microworkflows.models import DUE_AT_ONCE, Header, OutboxEvent, OutboxQuerySet

_BATCH = 500
"""Rows that are pending at once: events of now wait for no more than these."""
_LOOK_SECONDS = 0.05
_CLOCKS = timedelta(hours=1)
"""Most that an id's time and that of the recording may differ."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a feed has come."""

    fed: int
    """Events made pending for the queue."""
    waiting: int
    """Those of them that their relay has not sent yet."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The events of a type that were recorded in a span of time, for one context."""

    event_type: str
    to: str
    """Label of the context."""
    since: datetime
    until: datetime

    @property
    def oldest_kept(self) -> datetime | None:
        """Time at which the oldest event of the type was recorded that is still here; None if none is."""
        oldest = self._rows_of_type.order_by("pk").first()
        return None if oldest is None else oldest.recorded_at

    @property
    def unheard(self) -> int:
        """Number of events fed, now or before, for which the broker had no queue of this name."""
        return self._rows_of_type.filter(**{f"headers__{Header.ONLY_FOR}": self.to}).unheard().count()

    @property
    def left(self) -> int:
        """Number of events that the context was never due to get, neither when they were recorded nor by a feed."""
        return self._rows.count()

    def run(self, *, rate: float | None, goes_on: Callable[[], bool] = lambda: True) -> Iterator[Progress]:
        """Feed what is left, oldest first; yield the progress again and again, also while a batch waits for its relay.

        Args:
            rate: Most events in a second; None for as many as relay and broker take.
            goes_on: Called before each batch and while one waits; once it returns False, no more is fed.
        """
        size = _BATCH if rate is None else max(1, min(_BATCH, int(rate)))
        began, fed, last = monotonic(), 0, UUID(int=0)
        while goes_on():
            batch = list(self._rows.filter(pk__gt=last).order_by("pk")[:size])
            if not batch:
                break
            last = batch[-1].pk
            fed += self._feed(batch)
            keys = [row.pk for row in batch]
            while waiting := OutboxEvent.objects.pending().filter(pk__in=keys).count():
                yield Progress(fed=fed, waiting=waiting)
                if not goes_on():
                    return
                sleep(_LOOK_SECONDS)
            if rate is not None:
                sleep(max(0.0, began + fed / rate - monotonic()))
        yield Progress(fed=fed, waiting=0)

    @property
    def _rows_of_type(self) -> OutboxQuerySet:
        return OutboxEvent.objects.of_type(self.event_type)

    @property
    def _rows(self) -> OutboxQuerySet:
        """Rows that have left, and that the context was not due to get."""
        rows: OutboxQuerySet = (
            self._rows_of_type.filter(
                pk__gte=ids.lowest(self.since - _CLOCKS),
                added__gte=times.stored(self.since),
                added__lt=times.stored(self.until),
            )
            .exclude(status__in=OutboxEvent.UNSENT)
            .filter(_lacks(Header.FED_TO, [self.to]))
        )
        listening = registry.listening(self.event_type, context=self.to)
        return rows.filter(_lacks(Header.LISTENERS, list(listening))) if listening else rows

    def _feed(self, batch: list[OutboxEvent]) -> int:
        """Make rows pending for the queue; from now on the context's microworkflows are due to get them."""
        alias = router.db_for_write(OutboxEvent)
        listening = registry.listening(self.event_type, context=self.to)
        with transactions.read_committed(using=alias):
            rows = list(
                self._rows.filter(pk__in=[row.pk for row in batch])
                .order_by("pk")
                .select_for_update(no_key=True)
            )
            for row in rows:
                listeners = row.headers.get(Header.LISTENERS)
                row.status, row.expires_at = OutboxEvent.Status.PENDING, times.stored(DUE_AT_ONCE)
                row.headers = {
                    **row.headers,
                    Header.ONLY_FOR: self.to,
                    Header.FED_TO: {**row.headers.get(Header.FED_TO, {}), self.to: True},
                    **({} if listeners is None else {Header.LISTENERS: {**listeners, **listening}}),
                }
            OutboxEvent.objects.using(alias).bulk_update(rows, ["status", "expires_at", "headers"])
            wakeup.notify_on_commit(connections[alias], context_of(self.event_type))
        return len(rows)


def _lacks(header: Header, keys: list[str]) -> Q:
    """Return the condition that a header, an object, is missing or does not have all of these keys."""
    return Q(**{f"headers__{header}__isnull": True}) | ~Q(**{f"headers__{header}__has_keys": keys})
