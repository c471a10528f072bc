"""Bundling: runs of several microworkflows share a transaction while they are quick and none fails.

Bundling saves most of a run's cost besides the function itself: all runs share one commit, one statement for their
inbox rows and one for their events. Each run has its own savepoint, so a failure rolls back that run only; those of a
microworkflow that takes many share one, and a call (:mod:`~microworkflows.batching`). The transaction ends once it has lasted a moment, or once another transaction's lock is in its way. So it holds locks
hardly longer than a single run would, and a slow microworkflow always has its own transaction. A run that met an error which
the others may have caused, or whose statements would outlast it, is done again by itself: see :mod:`~microworkflows.isolation`.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile

from django.db import Error, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import (
    batching,
    database_errors,
    failures,
    flows,
    handling,
    holds,
    isolation,
    logs,
    on_commit,
    own_time,
    recording,
    texts,
)
from microworkflows.batching import Run
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import InboxEvent, message_id

logger = logs.logger(__name__)

_LONGEST_SECONDS = 0.05
"""A transaction starts no further run after this many seconds of this thread's own."""
_LONGEST_LOCK_WAIT = "10ms"
"""Longest wait for a lock: the order of runs is arbitrary, so two transactions may each wait for the other."""

_loners: set[str] = set()
"""Labels of the microworkflows of which a statement outlasted a run: each of their runs has its own transaction."""
_told: set[str] = set()
"""Functions of the database for which bundling is off, as the log has said."""


@dataclass(kw_only=True)
class _Bundle:
    """One transaction: its runs and their outcomes."""

    left: deque[Run]
    """Runs not begun."""
    done: list[tuple[Run, handling.Effects, float]] = field(default_factory=list)
    """Runs that succeeded, each with the events that it brought about and its duration in seconds."""
    known: list[Run] = field(default_factory=list)
    """Runs of events received before, or by another process at this very moment."""
    failed: tuple[Run, BaseException, float] | None = None
    """A run that failed, its error, and its duration in seconds."""
    again: list[Run] = field(default_factory=list)
    """Runs that were rolled back, and are to be done each by itself."""

    @property
    def ends_early(self) -> bool:
        """True if a run failed, or has to be done by itself."""
        return self.failed is not None or bool(self.again)


def handle(runs: Iterable[Run]) -> None:
    """Handle each event in its microworkflow, in this order unless a lock is in the way.

    These runs have their own transaction each: the last one left, a duplicate, one that is paused, one that has limits, a run that met an error in the database which
    may be due to others, such as a lock, a run whose statements would outlast it, and every run of a transaction that could
    not be committed. A failure is kept with its message.

    Args:
        runs: Microworkflows with their events, of which none is known to have been delivered before.

    Raises:
        Error: as :func:`.failures.keep` does. The inbox knows the committed runs, so all events may be delivered again.
        UnkeepableError: as :func:`.failures.keep` does; the same holds.
    """
    left = deque(runs)
    connection = connections[router.db_for_write(InboxEvent)]
    size = len(left) if len(left) > 1 and _may_share(connection) else 1
    while left:
        may_share = takewhile(_may_be_bundled, left)
        if (count := len(list(islice(may_share, size)))) <= 1:
            failures.handle_or_keep(*left.popleft())
            continue
        connection.ensure_connection()
        bundle = _Bundle(left=deque(left.popleft() for _ in range(count)))
        try:
            with flows.bundling(bundle.left[0][0].context), transaction.atomic(using=connection.alias):
                _bound_lock_waits(connection)
                _do(connection, bundle)
        except BaseException as error:
            failures.raise_if_process_ends(error)
            _do_one_by_one(bundle, error)
            left.extendleft(reversed(bundle.left))
            continue
        left.extendleft(reversed(bundle.left))
        if bundle.left and not bundle.ends_early:  # its time was up: the next one claims only as many runs
            size = max(len(bundle.done), 1)
        for (workflow, event), effects, seconds in bundle.done:
            handling.tell_handled(workflow, event, effects, duration=seconds)
        if bundle.failed is not None:
            (workflow, event), raised, seconds = bundle.failed
            failures.keep(workflow.label, event, raised, duration=seconds)
        for run in (*bundle.known, *bundle.again):
            failures.handle_or_keep(*run)


def _may_be_bundled(run: Run) -> bool:
    workflow, event = run
    return (
        workflow.limits is None
        and workflow.label not in _loners
        and holds.over(workflow.label, flow=event.meta.correlation_id, is_new=True) is None
    )


def _may_share(connection: BaseDatabaseWrapper) -> bool:
    """Return True if nothing is known of this database by which a run could change the next one unseen."""
    if not on_commit.can_be_made_robust(connection):
        return False
    connection.ensure_connection()
    try:
        maker = isolation.maker_of_settings(connection)
    except Error:  # the first run finds out
        return False
    if maker is not None and maker not in _told:
        _told.add(maker)
        logger.warning(
            "each event has its own transaction, which takes longer: the function %s of the database may make settings or "
            "temporary tables, which another event's handler would meet in a shared one",
            maker,
        )
    return maker is None


def _bound_lock_waits(connection: BaseDatabaseWrapper) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LONGEST_LOCK_WAIT}'")


def _do(connection: BaseDatabaseWrapper, bundle: _Bundle) -> None:
    """Do runs until the time is up, or one fails or has to be done by itself."""
    began = time.monotonic()
    ends_at = own_time.now() + _LONGEST_SECONDS
    deliveries = [(workflow.label, event) for workflow, event in bundle.left]
    new = handling.insert(deliveries, status=InboxEvent.Status.HANDLED)
    emitted: list[tuple[CloudEvent, str | None]] = []
    watch = isolation.Watch(connection)
    own = own_time.now()
    with watch.over_statements():
        while bundle.left and not bundle.ends_early:
            if _key(bundle.left[0]) not in new:
                bundle.known.append(bundle.left.popleft())
                continue
            runs = batching.take(bundle.left, new=new)
            effects = _do_runs(connection, watch, bundle, runs)
            seconds = (time.monotonic() - began) / len(runs)
            for run, each in zip(runs, effects, strict=False):  # none, if they were rolled back
                new.remove(_key(run))
                emitted += [(event, run[0].label) for event in each.returned]
                bundle.done.append((run, each, seconds))
            began, before, own = time.monotonic(), own, own_time.now()
            if effects and runs[0][0].many:
                batching.note(runs[0][0], len(runs), seconds=own - before)
            if own > ends_at:
                break
    if new:  # rows of runs that were not reached, failed or are done by themselves
        InboxEvent.objects.using(connection.alias).filter(msg_id__in=sorted(new)).delete()
    if emitted:
        recording.store(emitted)
    handling.raise_if_transaction_broken()  # else COMMIT would silently roll it back
    on_commit.make_robust(
        connection, failures.contained
    )  # one run's failing callback must not keep others from running


def _do_runs(
    connection: BaseDatabaseWrapper, watch: isolation.Watch, bundle: _Bundle, runs: list[Run]
) -> list[handling.Effects]:
    """Do a run, or several of one microworkflow in one call, in a savepoint; return what each brought about.

    The list is empty if they were rolled back, which the bundle notes.
    """
    workflow, events = runs[0][0], [event for _, event in runs]
    began = time.monotonic()
    try:
        with transaction.atomic(using=connection.alias):
            if len(runs) > 1:
                effects = handling.run_all(workflow, events)
            else:
                effects = [handling.run(workflow, *events)]
            handling.raise_if_transaction_broken()
            watch.raise_if_noticed()
    except BaseException as error:
        if watch.needs_own_transaction:
            _do_alone_from_now_on(workflow.label)
        elif not watch.noticed:
            failures.raise_if_process_ends(error)
        if len(runs) > 1:
            _tell_apart(workflow.label, runs, error)
        if len(runs) > 1 or watch.noticed or database_errors.may_be_the_neighbours(error):
            bundle.again = runs
        else:
            bundle.failed = runs[0], error, time.monotonic() - began
        return []
    return effects


def _tell_apart(label: str, runs: list[Run], error: BaseException) -> None:
    """Say that events which were handled in one call are done one by one: which of them is at fault shows then."""
    logger.info(
        "%d events that %s got together are done one by one: %s",
        *(len(runs), label, texts.line(error)),
        extra={"consumer": label},
    )


def _key(run: Run) -> str:
    """Return the key of a run's inbox row."""
    workflow, event = run
    return message_id(workflow.label, event.meta.id)


def _do_alone_from_now_on(label: str) -> None:
    _loners.add(label)
    logger.info(
        "%s has a transaction of its own from now on, which takes longer: the effect of a statement would have outlasted it",
        label,
        extra={"consumer": label},
    )


def _do_one_by_one(bundle: _Bundle, error: BaseException) -> None:
    """Repeat the runs of a transaction that was rolled back, each by itself: those begun, or all if none was."""
    done = [run for run, _, _ in bundle.done]
    unfinished = [bundle.failed[0]] if bundle.failed else bundle.again
    runs = [*done, *bundle.known, *unfinished]
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
