"""Bundling: runs of several microworkflows share a transaction while they are quick and none fails.

Bundling saves most of a run's cost besides the function itself: all runs share one commit, one statement for their
inbox rows and one for their events. Each run has its own savepoint, so a failure rolls back that run only. The
transaction ends once it has lasted a moment, or once another transaction's lock is in its way. So it holds locks
hardly longer than a single run would, and a slow microworkflow always has its own transaction. It also ends after a run
that made settings for the rest of the transaction, so that the next run does not meet them.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import database_errors, failures, handling, logs, on_commit, recording, texts
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import InboxEvent, message_id
from microworkflows.statements import Statements
from microworkflows.workflows import Microworkflow

logger = logs.logger(__name__)

Run = tuple[Microworkflow[Any], CloudEvent]
"""A microworkflow and the event for it to handle."""

_LONGEST_SECONDS = 0.05
"""A transaction starts no further run after this many seconds."""
_LONGEST_LOCK_WAIT = "10ms"
"""Longest wait for a lock: the order of runs is arbitrary, so two transactions may each wait for the other."""


@dataclass(kw_only=True)
class _Bundle:
    """One transaction: its runs and their outcomes."""

    left: deque[Run]
    """Runs not begun."""
    done: list[tuple[Run, float]] = field(default_factory=list)
    """Runs that succeeded, each with its duration in seconds."""
    known: list[Run] = field(default_factory=list)
    """Runs of events received before, or by another process at this very moment."""
    failed: tuple[Run, BaseException] | None = None
    statements: Statements = field(default_factory=Statements)


def handle(runs: Iterable[Run]) -> None:
    """Handle each event in its microworkflow, in this order unless a lock is in the way.

    These runs have their own transaction each: the last one left, a duplicate, a run whose error in the database may be
    due to others, such as a lock, and every run of a transaction that could not be committed. A failure is kept with its
    message.

    Args:
        runs: Microworkflows with their events, of which none is known to have been delivered before.

    Raises:
        Error: as :func:`.failures.keep` does. The inbox knows the committed runs, so all events may be delivered again.
        UnkeepableError: as :func:`.failures.keep` does; the same holds.
    """
    left = deque(runs)
    connection = connections[router.db_for_write(InboxEvent)]
    size = len(left) if on_commit.can_be_made_robust(connection) else 1
    while left:
        if (count := min(size, len(left))) == 1:
            failures.handle_or_keep(*left.popleft())
            continue
        connection.ensure_connection()
        bundle = _Bundle(left=deque(left.popleft() for _ in range(count)))
        try:
            with transaction.atomic(using=connection.alias):
                _bound_lock_waits(connection)
                _do(connection, bundle)
        except BaseException as error:
            failures.raise_if_process_ends(error)
            _do_one_by_one(bundle, error)
            left.extendleft(reversed(bundle.left))
            continue
        bundle.statements.forget_settings(connection)
        left.extendleft(reversed(bundle.left))
        if bundle.left and bundle.failed is None:  # its time was up: the next one claims only as many runs
            size = max(len(bundle.done), 1)
        for (workflow, event), seconds in bundle.done:
            handling.log_handled(workflow, event, duration=seconds)
        for run in bundle.known:
            failures.handle_or_keep(*run)
        if bundle.failed is not None:
            (workflow, event), raised = bundle.failed
            if database_errors.may_be_the_neighbours(raised):
                failures.handle_or_keep(workflow, event)
            else:
                failures.keep(workflow.label, event, raised)


def _bound_lock_waits(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LONGEST_LOCK_WAIT}'")


def _do(connection: BaseDatabaseWrapper, bundle: _Bundle) -> None:
    """Do runs until the time is up, or one fails or makes settings."""
    began = time.monotonic()
    ends_at = began + _LONGEST_SECONDS
    deliveries = [(workflow.label, event) for workflow, event in bundle.left]
    new = handling.insert(deliveries, status=InboxEvent.Status.HANDLED)
    emitted: list[tuple[CloudEvent, str | None]] = []
    while bundle.left and bundle.failed is None and not bundle.statements.made_settings:
        workflow, event = run = bundle.left.popleft()
        if (key := message_id(workflow.label, event.meta.id)) not in new:
            bundle.known.append(run)
            continue
        try:
            with transaction.atomic(using=connection.alias):
                events = handling.run(workflow, event, statements=bundle.statements)
                handling.raise_if_transaction_broken()
        except BaseException as error:
            failures.raise_if_process_ends(error)
            bundle.failed = run, error
        else:
            new.remove(key)
            emitted += [(each, workflow.label) for each in events]
            bundle.done.append((run, time.monotonic() - began))
        if (began := time.monotonic()) > ends_at:
            break
    if new:  # rows of runs that were not reached or failed
        InboxEvent.objects.using(connection.alias).filter(msg_id__in=sorted(new)).delete()
    if emitted:
        recording.store(emitted)
    handling.raise_if_transaction_broken()  # else COMMIT would silently roll it back
    on_commit.make_robust(
        connection, failures.contained
    )  # one run's failing callback must not keep others from running


def _do_one_by_one(bundle: _Bundle, error: BaseException) -> None:
    """Repeat the runs of a transaction that was rolled back, each by itself: those begun, or all if none was."""
    done = [run for run, _ in bundle.done]
    runs = [*done, *bundle.known, *([bundle.failed[0]] if bundle.failed else [])]
    if not runs:
        runs = list(bundle.left)
        bundle.left.clear()
    if database_errors.is_kept_waiting(
        error
    ):  # another worker has one of them in hand, or a row that one wants
        logger.info("%d runs gave way to another transaction; each is done alone", len(runs))
    else:
        logger.warning(
            "%d runs could not be committed together; each is done alone: %s",
            *(len(runs), texts.line(error)),
            exc_info=error,
        )
    for run in runs:
        failures.handle_or_keep(*run)
