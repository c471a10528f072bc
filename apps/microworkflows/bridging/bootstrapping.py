"""Bootstrapping: rows of the past become events, in batches, each recorded once, under the mark that says who may act on them."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import past, recording, registry, times, transactions
from microworkflows import rows as tables
from microworkflows.bridging import rows
from microworkflows.bridging.models import Bootstrapped
from microworkflows.bridging.rows import Past, UnusableQueryError
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.events import DomainEvent
from microworkflows.ids import uuid7
from microworkflows.models import OutboxEvent

_BATCH = 500
"""Rows of one transaction: few enough that nobody waits long for it."""
_AHEAD = timedelta(minutes=1)
"""Most that a row's time may lie ahead of this machine's clock."""


@dataclass(frozen=True)
class Counts:
    """Numbers of rows so far."""

    recorded: int = 0
    before: int = 0
    """Those that an earlier run had recorded."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """The rows that a project's function yields, as events of one type; for every context, or for one."""

    event: type[DomainEvent]
    query: Callable[[], Iterable[Any]]
    only_for: str = ""
    run_id: UUID = field(default_factory=uuid7)

    @cached_property
    def mark(self) -> str:
        """The mark of the events; raises ValueError if no context can have the label."""
        return past.mark(only_for=self.only_for)

    @property
    def handled_by(self) -> list[str]:
        """Labels of the microworkflows known here that will act on the events."""
        return sorted(past.wanting(self.mark) & registry.listening(self.event.event_type).keys())

    @property
    def passed_over(self) -> list[str]:
        """Labels of those that listen to the type and will not."""
        return sorted(registry.listening(self.event.event_type).keys() - set(self.handled_by))

    def run(self, *, rate: float | None = None) -> Iterator[Counts]:
        """Record what was not recorded yet; yield the numbers after each batch, which is a transaction of its own.

        Args:
            rate: Most events in a second.

        Raises:
            UnusableQueryError: a row cannot be recorded; the batches before it stay.
        """
        size = _BATCH if rate is None else max(1, min(_BATCH, int(rate)))
        began, counts = time.monotonic(), Counts()
        for batch, as_of in self._batches(size):
            new = self._record(batch, as_of)
            counts = Counts(counts.recorded + new, counts.before + len(batch) - new)
            if rate is not None:
                time.sleep(max(0.0, began + counts.recorded / rate - time.monotonic()))
            yield counts

    def rehearse(self, *, again: bool = False, examples: int = 3) -> tuple[Counts, list[CloudEvent]]:
        """Return the numbers that a run would reach, and the first events; nothing is recorded. Raises as :meth:`run` does.

        Args:
            again: True for a run after :meth:`forget`.
            examples: Number of events to return.
        """
        counts, first, seen = Counts(), list[CloudEvent](), set[UUID]()
        marks = self._marks.none() if again else self._marks
        for batch, as_of in self._batches(_BATCH):
            keyed = self._keyed(batch)
            if repeated := keyed.keys() & seen:
                raise self._repeated(keyed[repeated.pop()])
            seen |= keyed.keys()
            before = set(marks.filter(pk__in=keyed).values_list("pk", flat=True))
            with transactions.read_committed(using=self._alias):
                events = [self._envelopes(row, as_of)[0] for key, row in keyed.items() if key not in before]
            first += events[: examples - len(first)]
            counts = Counts(counts.recorded + len(events), counts.before + len(before))
        return counts, first

    def forget(self) -> int:
        """Delete the marks, so that the next run records every row anew; return their number."""
        return int(self._marks.delete()[0])

    @property
    def _alias(self) -> str:
        return router.db_for_write(OutboxEvent)

    @property
    def _marks(self) -> Any:
        rows_of_all = Bootstrapped.objects.using(self._alias)
        return rows_of_all.filter(event_type=self.event.event_type, only_for=self.only_for)

    def _batches(self, size: int) -> Iterator[tuple[Sequence[Past], datetime]]:
        """Yield rows in batches, with a time before which they were read."""
        as_of = _begin_of_all_that_is_open(connections[self._alias])
        found = rows.read(self.query, self.event)
        while batch := list(islice(found, size)):
            yield batch, as_of

    def _record(self, batch: Sequence[Past], as_of: datetime) -> int:
        """Record the rows of a batch that have no mark yet, and mark them; return their number."""
        keyed = self._keyed(batch)
        with transactions.read_committed(using=self._alias):
            new = self._mark(keyed)
            recorded = [
                event for key, row in keyed.items() if key in new for event in self._envelopes(row, as_of)
            ]
            recording.store([(event, None) for event in recorded])
        return len(new)

    def _mark(self, keyed: Mapping[UUID, Past]) -> set[UUID]:
        """Insert the marks of rows; return those that are new. Another run that is at the same rows is waited for."""
        now = times.now()
        marks = [
            {
                "id": key,
                "event_type": self.event.event_type,
                "only_for": self.only_for,
                "run": self.run_id,
                "recorded_at": now,
            }
            for key in sorted(keyed)
        ]
        table = Bootstrapped._meta.db_table
        inserted = tables.insert_new(connections[self._alias], table, marks, key="id")
        new = {UUID(str(key)) for key in inserted}
        if twice := self._marks.filter(pk__in=keyed.keys() - new, run=self.run_id).first():
            raise self._repeated(keyed[twice.pk])
        return new

    def _keyed(self, batch: Sequence[Past]) -> dict[UUID, Past]:
        keyed: dict[UUID, Past] = {}
        for row in batch:
            key = uuid5(NAMESPACE_URL, f"{self.event.event_type}\n{self.only_for}\n{row.identity}")
            if key in keyed:
                raise self._repeated(row)
            keyed[key] = row
        return keyed

    def _repeated(self, row: Past) -> UnusableQueryError:
        return UnusableQueryError(
            f"Two rows have the same {row.identity}. One of them would be lost, or recorded twice by a run that goes on after this "
            "one. Let the function yield each row once, or tell them apart: Past(event=…, key=…)."
        )

    def _envelopes(self, row: Past, as_of: datetime) -> list[CloudEvent]:
        """Return a row as an event, in all its versions, the newest first."""
        at = as_of if row.at is None else times.aware(row.at).astimezone(UTC)
        if at > datetime.now(UTC) + _AHEAD:
            raise UnusableQueryError(
                f"The row with the {row.identity} is of {at.isoformat()}, which is to come: whatever happens until then would count "
                "as older. Give the time of its last change as at=."
            )
        try:
            versions = recording.prepare(
                [row.event],
                about=row.about,
                correlation_id=row.correlation_id,
                marking=lambda _: self.mark,
            )
        except PermanentError as error:
            raise UnusableQueryError(f"The row with the {row.identity}: {error}") from error
        return [replace(event, meta=replace(event.meta, as_of=at)) for event in versions]


def _begin_of_all_that_is_open(connection: BaseDatabaseWrapper) -> datetime:
    """Return the time at which the oldest open transaction began, or the present one.

    What a transaction of now has changed, and commits after the rows were read, has a later time: so its events count as newer
    than the rows, as they are. PostgreSQL shows transactions of other roles to members of pg_read_all_stats alone.
    """
    now = datetime.now(UTC)
    if connection.vendor != "postgresql":
        return now
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database()")
        ((oldest,),) = cursor.fetchall()
    return now if oldest is None else min(now, times.aware(oldest).astimezone(UTC))
