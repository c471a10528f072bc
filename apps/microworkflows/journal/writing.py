"""Writing: messages become rows, all of them in one transaction, with the numbers up to which their processes were heard."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import router

from microworkflows import transactions
from microworkflows.journal import declaring, merging, reading
from microworkflows.journal.clock_offsets import ClockOffsets
from microworkflows.journal.merging import Change, Rows
from microworkflows.journal.models import Context, Flow, Process
from microworkflows.journal.notices import Kind
from microworkflows.journal.numbering import Numbering, open_gaps
from microworkflows.journal.reading import ActTold, Sent
from microworkflows.journal.states import Declared, Silence

logger = logging.getLogger(__name__)

_EVENTS = (Kind.RELAYED, Kind.UNHEARD, Kind.REJECTED)
_ATTEMPTS = (Kind.RECEIVED, Kind.HANDLED, Kind.FAILED, Kind.PARKED)
_ACTS = (Kind.REPLAYED, Kind.DISMISSED)
_AT_ONCE = 500


class Memory:
    """What the collector keeps from one batch to the next."""

    def __init__(self) -> None:
        self.offsets = ClockOffsets()
        self.contexts: dict[str, Context] = {row.name: row for row in Context.objects.all()}
        self.declared = Declared.of(self.contexts.values())
        self.silences = silences(self.contexts.values())
        self.has_new_declarations = False
        unfinished = Flow.objects.exclude(state=Flow.State.DONE).filter(events_count__gt=merging.LARGE)
        self.large: set[int] = set(unfinished.values_list("pk", flat=True))
        """Keys of large flows that are to be worked out anew, from time to time."""

    def look_again(self) -> None:
        """Read anew which notices are missing."""
        self.silences = silences(self.contexts.values())


class _Batch:
    """Notices of several messages, sorted by what they are about."""

    def __init__(self, memory: Memory, numbering: Numbering) -> None:
        self._memory, self._numbering = memory, numbering
        self.changes: list[Change] = []
        self.acts: list[ActTold] = []
        self.contexts: set[str] = set()

    def add(self, message: Sent) -> None:
        process, notices = self._numbering.take(message)
        bad: tuple[Exception, Any] | None = None
        for raw in notices:
            try:
                self._add(process, message.host, raw)
            except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
                bad = error, raw
        if bad:
            logger.warning("the journal passes over a notice of %s: %s: %.300r", message.name, *bad)

    def _add(self, process: Process, host: str, raw: Any) -> None:
        if (found := reading.notice(raw)) is None:
            return
        kind, told_at, facts = found
        at = self._memory.offsets.corrected(host, told_at)
        if kind in _EVENTS:
            self._add_event(process, host, kind, at, facts)
        elif kind in _ATTEMPTS:
            attempt = reading.attempt(facts)
            if attempt.began is not None:
                attempt = reading.begun(attempt, self._memory.offsets.corrected(host, attempt.began))
            self.changes.append((kind, at, attempt, process))
        elif kind in _ACTS:
            self.acts.append(reading.act(kind, at, facts))
        else:
            self._add_life(process, kind, at, facts)

    def _add_event(self, process: Process, host: str, kind: Kind, at: datetime, facts: Any) -> None:
        told = reading.event(facts)
        told = reading.moved(told, self._memory.offsets.corrected(host, told.time))
        self.changes.append((kind, at, told, process))

    def _add_life(self, process: Process, kind: Kind, at: datetime, facts: Any) -> None:
        if kind == Kind.DECLARED:
            known = self._memory.contexts
            new = declaring.declare(facts, service=process.service, at=at, known=known)
            self._memory.has_new_declarations |= bool(new)
            self.contexts |= new
        elif kind == Kind.TALLY:
            self._tally(facts, at)
        elif kind == Kind.ALIVE:
            process.life = {**process.life, **{key: facts[key] for key in _LIFE if key in facts}}
        elif kind == Kind.STOPPED:
            process.stopped_at = at

    def _tally(self, facts: Any, at: datetime) -> None:
        row = self._memory.contexts.get(reading.text(facts["context"]))
        if row is not None and (row.tallied_at is None or row.tallied_at <= at):
            row.tally, row.tallied_at = dict(facts), at
            self.contexts.add(row.name)


_LIFE = ("depths", "handling", "leads")


def write(messages: Sequence[Sent], memory: Memory) -> None:
    """Write all rows that messages are about, in one transaction; what has come before changes nothing."""
    with transactions.read_committed(using=router.db_for_write(Flow)):
        numbering = Numbering(messages, memory.offsets)
        batch = _Batch(memory, numbering)
        for message in messages:
            batch.add(message)
        numbering.save()
        _save_contexts(batch.contexts, memory)
        if numbering.has_changed_gaps:
            memory.look_again()
        write_changes(batch.changes, memory, acts=batch.acts)


def write_changes(changes: Sequence[Change], memory: Memory, *, acts: Sequence[ActTold] = ()) -> None:
    """Merge what was told into its flows' rows, and work these out anew."""
    if not changes and not acts:
        return
    rows = Rows()
    events = [facts if isinstance(facts, reading.EventTold) else facts.event for _, _, facts, _ in changes]
    told_of = {event.id for event in events} | {act.event for act in acts}
    rows.load(Flow.objects.filter(correlation_id__in={event.flow for event in events}), told_of=told_of)
    if acts:
        rows.load(Flow.objects.filter(events__in={act.event for act in acts}).distinct(), told_of=told_of)
    rows.merge(changes)
    for act in acts:
        rows.act(act)
    rows.work_out(memory.declared, now=datetime.now(UTC), silences=memory.silences)
    rows.save()
    memory.large |= rows.large


def refresh(flows: Collection[int], *, now: datetime, memory: Memory | None = None) -> None:
    """Work flows out anew, by their keys, from the rows that are there."""
    memory = memory or Memory()
    keys = sorted(flows)
    for first in range(0, len(keys), _AT_ONCE):
        with transactions.read_committed(using=router.db_for_write(Flow)):
            rows = Rows()
            rows.load(Flow.objects.filter(pk__in=keys[first : first + _AT_ONCE]).select_for_update())
            rows.work_out(memory.declared, now=now, silences=memory.silences)
            rows.save()


def _save_contexts(names: Collection[str], memory: Memory) -> None:
    if not names:
        return
    fields = ["service", "declared_at", "declarations", "admin_url", "tally", "tallied_at"]
    rows = [memory.contexts[name] for name in sorted(names)]
    Context.objects.bulk_create(rows, update_conflicts=True, unique_fields=["name"], update_fields=fields)
    memory.declared = Declared.of(memory.contexts.values())


def silences(contexts: Iterable[Context]) -> list[Silence]:
    """Return the times for which notices are missing, with the contexts of whose service they are."""
    of_service: dict[str, set[str]] = {}
    for context in contexts:
        of_service.setdefault(context.service, set()).add(context.name)
    return [
        Silence(
            contexts=frozenset(of_service.get(gap.process.service, set()) | set(gap.process.contexts)),
            is_relay=gap.process.kind == Process.Kind.RELAY,
            since=gap.since,
            until=gap.until,
        )
        for gap in open_gaps()
    ]
