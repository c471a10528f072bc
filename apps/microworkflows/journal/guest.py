"""The journal as a guest of the core: turns what a worker or a relay learns into notices."""

import os
import platform
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from billiard.process import current_process
from celery import signals
from django.core import mail

from microworkflows import flows
from microworkflows.cloudevents import CloudEvent
from microworkflows.flows import Attempt, Erasing, Failure, Kept, OwnQueue, Sent
from microworkflows.journal import broker, conf, erasures, reporter, retention, tallies
from microworkflows.journal.notices import (
    Ended,
    Kind,
    LifeFacts,
    act_facts,
    facts_of_body,
    failed_facts,
    handled_facts,
    rejected_facts,
)
from microworkflows.journal.reporter import ProcessKind

_EVERY_SECONDS = 5.0


class Journal(flows.Guest):
    """Reports."""

    def __init__(self) -> None:
        self._leads: set[str] = set()

    def running(self, event: CloudEvent, *, consumer: str, number: int) -> AbstractContextManager[Any] | None:
        return reporter.current.run(event.meta, consumer) if reporter.current.has_begun else None

    def handled(self, attempt: Attempt, emitted: Sequence[UUID]) -> None:
        reporter.current.tell(Kind.HANDLED, handled_facts, _ended(attempt), emitted)

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        due = None if failure.due_at is None else failure.due_at.timestamp()
        kind = Kind.PARKED if failure.parked else Kind.FAILED
        reporter.current.tell(kind, failed_facts, _ended(attempt), failure.error, failure.fingerprint, due)

    def sent(self, batch: Sent) -> None:
        for _, body in batch.relayed:
            reporter.current.tell(Kind.RELAYED, facts_of_body, body)
        for _, body in batch.unheard:
            reporter.current.tell(Kind.UNHEARD, facts_of_body, body)
        for _, body, error in batch.rejected:
            reporter.current.tell(Kind.REJECTED, rejected_facts, body, error)

    def led(self, context: str, leads: bool) -> None:
        (self._leads.add if leads else self._leads.discard)(context)

    def beat(self, worker: str, *, depths: Mapping[str, int | None], handling: int) -> None:
        _begin("worker", name=worker, contexts=sorted(depths))
        life = LifeFacts(depths=dict(depths), handling=handling)
        reporter.current.tell(Kind.ALIVE, lambda: life)

    def stopped(self, worker: str) -> None:
        reporter.current.tell(Kind.STOPPED, dict)

    def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
        """Tell every few seconds which contexts this relay leads, and count their rows."""
        name = f"relay of {', '.join(contexts)} on {platform.node()}"
        _begin("relay", name=name, contexts=sorted(contexts))
        with tallies.Tallies() as tally:
            while True:
                leads = sorted(self._leads)
                reporter.current.tell(Kind.ALIVE, lambda leads=leads: LifeFacts(leads=leads))
                for context in leads:
                    facts = tally.of(context)
                    reporter.current.tell(Kind.TALLY, lambda facts=facts: facts)
                if stop.wait(_EVERY_SECONDS):
                    return

    def acted(self, act: str, messages: Sequence[tuple[str, UUID]], *, by: str, why: str) -> None:
        if not reporter.current.has_begun:
            _begin("web", name=f"process {os.getpid()} on {platform.node()}")
        for consumer, event in messages:
            reporter.current.tell(Kind(act), act_facts, event, consumer, by, why)

    def own_queues(self) -> Sequence[OwnQueue]:
        return [OwnQueue(queue=broker.queue(), reader=conf.current().journal_collector)]

    def purge(self, *, before: datetime) -> Mapping[str, int]:
        """Delete by the journal's own retention, whatever age the outbox's rows may reach."""
        return retention.purge(now=datetime.now(UTC))

    def retentions(self, *, default: timedelta) -> Mapping[str, timedelta]:
        return {"flows of the journal, and all that belongs to them": retention.age()}

    def erase(self, erasing: Erasing) -> Mapping[str, int]:
        return erasures.erase(erasing)

    def kept(self, erasing: Erasing) -> Sequence[Kept]:
        return erasures.kept(erasing)

    def contexts_of(self, erasing: Erasing) -> Collection[str]:
        return erasures.contexts_of(erasing)


def _begin(kind: ProcessKind, *, name: str, contexts: list[str] | None = None) -> None:
    """Begin to report, but not in a test run, as Django's test environment shows: nothing of it belongs into a journal."""
    if reporter.current.has_begun or not hasattr(mail, "outbox"):
        reporter.current.begin(kind, name=name, contexts=contexts)


def _ended(attempt: Attempt) -> Ended:
    return Ended(attempt.event.meta, attempt.consumer, attempt.number, attempt.duration, attempt.mode)


_worker = ""
"""Celery's name of the worker that runs here, or of which this is a process."""


def follow_processes() -> None:
    """Begin to report in workers and their processes; Celery says when there is one."""
    signals.celeryd_init.connect(_note_worker, weak=False)
    signals.worker_process_init.connect(_begin_in_pool, weak=False)
    signals.worker_process_shutdown.connect(_end_in_pool, weak=False)


def _note_worker(sender: Any, **_: object) -> None:
    global _worker
    _worker = str(sender)
    _begin("worker", name=_worker)


def _begin_in_pool(**_: object) -> None:
    _begin("pool", name=f"{_worker} {current_process().name}")


def _end_in_pool(**_: object) -> None:
    reporter.current.end()
