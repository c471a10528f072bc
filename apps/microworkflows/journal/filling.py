"""Filling: what notices did not tell is read from the owners' tables, where this process can reach them.

What a row tells is merged as a notice is. A row says what stands now; attempts that failed before are in the message's history, see
:mod:`~microworkflows.journal.recalling`.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import Error, router
from django.db.models import Q

from microworkflows import times, transactions
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.journal import conf, reading, recalling, writing
from microworkflows.journal.merging import Change
from microworkflows.journal.models import Flow, Gap
from microworkflows.journal.notices import Kind, event_facts
from microworkflows.journal.reading import ActTold, AttemptTold, EventTold
from microworkflows.journal.writing import Memory
from microworkflows.models import CorrelationOf, Heartbeat, InboxEvent, OutboxEvent

logger = logging.getLogger(__name__)

_GRACE = timedelta(seconds=5)
"""Age of a gap from which on it is filled: what is missing may still come."""
_SLACK = timedelta(seconds=5)
_AT_ONCE = 500
_MOST_FLOWS = 20_000
"""Number of flows, begun before a gap and not done, whose rows are looked for one by one."""

_OUTCOMES = {
    OutboxEvent.Status.RELAYED: Kind.RELAYED,
    OutboxEvent.Status.UNHEARD: Kind.UNHEARD,
    OutboxEvent.Status.REJECTED: Kind.REJECTED,
}
_NEVER_TOLD = (OutboxEvent.Status.SCHEDULED, OutboxEvent.Status.CANCELLED)
"""Timers are told of once they are sent, as everything of a flow that is certain."""
_ENDS = {InboxEvent.Status.HANDLED: Kind.HANDLED, InboxEvent.Status.DISMISSED: Kind.DISMISSED}


@dataclass
class Filled:
    """What a look at the gaps has led to."""

    gaps: int = 0
    concerned: set[int] = field(default_factory=set)
    """Keys of the flows that may stand otherwise now."""


def sources() -> dict[str, frozenset[str]]:
    """Return, by the alias of each database within reach, the contexts whose workers note their heartbeats there."""
    found = {}
    for alias in dict.fromkeys([router.db_for_write(OutboxEvent), *conf.current().journal_sources]):
        try:
            queues = Heartbeat.objects.using(alias).values_list("queue", flat=True).distinct()
            found[alias] = frozenset(queues)
        except Error as error:
            logger.warning("the journal cannot read the tables of %s: %s", alias, error)
    return found


def fill_gaps(memory: Memory, *, now: datetime) -> Filled:
    """Fill the gaps that have not been closed meanwhile, if the tables of their services are within reach."""
    filled = Filled()
    gaps = list(Gap.objects.filter(filled_at__isnull=True, until__lt=now - _GRACE).select_related("process"))
    if not gaps:
        return filled
    within_reach = sources()
    for gap in gaps:
        of_service = {row.name for row in memory.contexts.values() if row.service == gap.process.service}
        needed = of_service | set(gap.process.contexts)
        aliases = [alias for alias, contexts in within_reach.items() if contexts & needed]
        reached = frozenset().union(*(within_reach[alias] for alias in aliases))
        if needed and needed <= reached:
            for alias in aliases:
                fill(memory, alias=alias, since=gap.since - _SLACK, until=gap.until + _SLACK, with_open=True)
            gap.filled_at = now
            gap.save(update_fields=["filled_at"])
            filled.gaps += 1
            logger.info("the journal made good what %s could not tell", gap.process.name)
        filled.concerned |= _concerned(gap, is_filled=gap.filled_at is not None)
    return filled


def _concerned(gap: Gap, *, is_filled: bool) -> set[int]:
    """Return the keys of the flows whose state a gap may change: to unknown, or, once it is filled, to what is known."""
    flows = Flow.objects.filter(began_at__lte=gap.until, last_at__gte=gap.since)
    if is_filled:
        flows = Flow.objects.filter(Q(state=Flow.State.UNKNOWN) | Q(pk__in=flows.values("pk")))
    else:
        flows = flows.exclude(state__in=(Flow.State.UNKNOWN, Flow.State.FAILED))
    return set(flows.values_list("pk", flat=True))


def fill(memory: Memory, *, alias: str, since: datetime, until: datetime, with_open: bool = False) -> int:
    """Bring what happened in a time into the journal from a database's outbox and inbox; return the number of rows read.

    Args:
        memory: What the collector keeps.
        alias: The database.
        since: Beginning of the time.
        until: Its end.
        with_open: True to look also for all rows of flows that the journal knows and that are not done.
    """
    first, last = _first_id(since), _first_id(until)
    outbox = OutboxEvent.objects.using(alias).filter(pk__gte=first, pk__lt=last).order_by("pk")
    inbox = InboxEvent.objects.using(alias).filter(pk__gte=first, pk__lt=last).order_by("pk")
    number = sum(_write(memory, rows.iterator(_AT_ONCE), alias=alias) for rows in (outbox, inbox))
    if not with_open:
        return number
    waiting = Flow.objects.filter(began_at__lte=until).exclude(state=Flow.State.DONE).order_by("-began_at")
    for flows in _in_batches(waiting.values_list("correlation_id", flat=True)[:_MOST_FLOWS], _AT_ONCE):
        events = OutboxEvent.objects.using(alias).of_flow(*flows)
        received = InboxEvent.objects.using(alias).alias(flow=CorrelationOf("body")).filter(flow__in=flows)
        number += sum(_write(memory, rows, alias=alias) for rows in (events, received.order_by("pk")))
    return number


def _write(memory: Memory, rows: Iterable[Any], *, alias: str) -> int:
    number = 0
    for some in _in_batches(rows, _AT_ONCE):
        number += len(some)
        changes, acts = _told_by(some, alias)
        with transactions.read_committed(using=router.db_for_write(Flow)):
            writing.write_changes(changes, memory, acts=acts)
    return number


def _told_by(rows: Sequence[Any], alias: str) -> tuple[list[Change], list[ActTold]]:
    """Return what rows tell; one that is no event of the kit's any more tells nothing."""
    histories = recalling.unknown_of([row for row in rows if isinstance(row, InboxEvent)], alias=alias)
    changes: list[Change] = []
    acts: list[ActTold] = []
    for row in rows:
        if isinstance(row, OutboxEvent) and row.status in _NEVER_TOLD:
            continue
        try:
            told = reading.event(event_facts(CloudEvent.from_dict(row.body).meta))
        except (InvalidCloudEventError, ValueError) as error:
            logger.warning("the journal passes over row %s of a table: %s", row.pk, error)
            continue
        if isinstance(row, OutboxEvent):
            kind = _OUTCOMES.get(OutboxEvent.Status(row.status), Kind.RECORDED)
            changes.append((kind, row.recorded_at, replace(told, by=row.workflow or ""), None))
        else:
            entries = histories.get(row.msg_id, ())
            changes += recalling.changes(row, told, entries)
            changes += _standing(row, told)
            acts += recalling.acts(row, entries)
    return changes, acts


def _standing(row: InboxEvent, told: EventTold) -> Iterator[Change]:
    """Yield the end of a message's way into its consumer, if it has come to one."""
    status = InboxEvent.Status(row.status)
    if status not in _ENDS:
        return
    handled = status == InboxEvent.Status.HANDLED
    attempt = AttemptTold(
        event=told,
        consumer=row.label,
        number=row.attempts + 1 if handled else max(row.attempts, 1),
        began=row.received_at,
        seconds=None,
        mode=row.mode,
        emitted=[],
        error="" if handled else row.error or "",
        fingerprint=(row.fingerprint or "")[:32],
        due=None,
    )
    yield _ENDS[status], row.handled_at if handled else times.aware(row.expires_at), attempt, None


def _first_id(time: datetime) -> UUID:
    """Return the smallest id of version 7 (RFC 9562) that was made at a time."""
    milliseconds = max(int(time.timestamp() * 1000), 0)
    return UUID(int=milliseconds << 80)


def _in_batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, size)):
        yield some
