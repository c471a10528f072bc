"""Limiting: a run beyond its microworkflow's limits is broken off, or waits in the inbox for its turn, at the cost of no attempt.

Runs at once are counted by locks, which end with the transaction of whoever holds one: a killed process leaves none behind. For the rate,
a row keeps the time up to which runs are given out, and a message that comes too early is given a turn, at which it comes back.
"""

import hashlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper

from microworkflows import logs, times, transactions
from microworkflows.errors import MicroworkflowsError
from microworkflows.models import Header, InboxEvent, RunRate, message_id
from microworkflows.workflows import Microworkflow

logger = logs.logger(__name__)

_PLACE = (
    "SELECT place FROM generate_series(CAST(%s AS bigint), CAST(%s AS bigint)) AS place "
    "WHERE pg_try_advisory_xact_lock(place) LIMIT 1"
)
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(seconds=0.5), timedelta(seconds=30)
_TOGETHER = timedelta(seconds=1)
"""Runs of so long a time may begin together: a relay brings back those whose turn has come once in this time."""

_told: set[str] = set()
"""Labels of the microworkflows whose runs cannot be broken off here, as the log has said."""


class NoPlaceError(MicroworkflowsError):
    """As many runs of the microworkflow are going on as may be at once."""


class RunTimeExceededError(MicroworkflowsError):
    """The run took longer than its microworkflow's limit, and was broken off."""


# Run time


@contextmanager
def broken_off_in_time(workflow: Microworkflow[Any]) -> Iterator[None]:
    """Break off what runs inside the block once it takes longer than the microworkflow's limit.

    The alarm of the operating system does it, which only the main thread of a process gets, as in Celery's prefork pool.

    Raises:
        RunTimeExceededError: it did; where the code happened to be.
    """
    longest = workflow.limits and workflow.limits.run_time
    if not longest:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        _tell_unlimited(workflow.label)
        yield
        return
    seconds = longest.total_seconds()

    def break_off(*_: object) -> None:
        raise RunTimeExceededError(
            f"{workflow.label} took longer than {seconds:g} s, its limit, and was broken off where the traceback shows. Make it quicker, or raise "
            "run_time in its Limits."
        )

    began, handler = time.monotonic(), signal.signal(signal.SIGALRM, break_off)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # of a run around this one
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001))


def _tell_unlimited(label: str) -> None:
    if label not in _told:
        _told.add(label)
        logger.warning(
            "the run time of %s is not limited here: only the main thread of a process can be broken off, as in Celery's prefork pool",
            label,
        )


# Concurrency


def take_place(connection: BaseDatabaseWrapper, workflow: Microworkflow[Any]) -> None:
    """Take one of the places of a microworkflow until the end of this transaction. SQLite has one for all that write.

    Raises:
        NoPlaceError: all are taken.
    """
    most = workflow.limits and workflow.limits.concurrency
    if not most or connection.vendor != "postgresql":
        return
    first = _first_place(workflow.label)
    with connection.cursor() as cursor:
        cursor.execute(_PLACE, [first, first + most - 1])
        if cursor.fetchone() is None:
            raise NoPlaceError(f"{most} runs of {workflow.label} are going on, as many as may be at once")


def wait_for_place(row: InboxEvent) -> timedelta:
    """Return the time after which a message asks for a place again: the longer it has waited, the less often it asks."""
    waited = datetime.now(UTC) - times.aware(row.added)
    return min(max(waited / 4, _SHORTEST_WAIT), _LONGEST_WAIT)


def _first_place(label: str) -> int:
    """Return the number of a microworkflow's first lock; those of others are far away, most likely."""
    digest = hashlib.blake2b(label.encode(), digest_size=6).digest()
    return int.from_bytes(digest) << 14


# Rate


def turn(workflow: Microworkflow[Any], event_id: UUID, *, attempt: int | None) -> datetime | None:
    """Return None if an event's run may begin; else the time of its turn, at which it asks again.

    This is the generic cell rate algorithm (ITU-T I.371), which needs one time for each microworkflow. A second one gives those that
    wait their turns, so that they come back one after the other; while some wait, what is new waits behind them.

    Args:
        workflow: The microworkflow.
        event_id: Id of the event.
        attempt: For a redelivery, the number of attempts that had failed when it was sent: it may come in its turn.
    """
    limits = workflow.limits
    if limits is None or limits.rate is None:
        return None
    has_turn = attempt is not None and _has_turn(message_id(workflow.label, event_id))
    interval, now, using = limits.per / limits.rate, datetime.now(UTC), router.db_for_write(RunRate)
    ahead = max(min(limits.per, _TOGETHER), interval) - interval
    with transactions.read_committed(using=using):
        at = times.stored(now)
        row, _ = RunRate.objects.select_for_update().get_or_create(
            label=workflow.label, defaults={"given_until": at, "last_turn": at}
        )
        given_until, last_turn = times.aware(row.given_until), times.aware(row.last_turn)
        if (has_turn or last_turn <= now) and given_until - now <= ahead:
            row.given_until, turn = times.stored(max(given_until, now) + interval), None
        else:
            turn = max(last_turn + interval, given_until - ahead)
            row.last_turn = times.stored(turn)
        row.save(update_fields=["given_until", "last_turn"])
    return turn


def _has_turn(msg_id: str) -> bool:
    headers = InboxEvent.objects.filter(msg_id=msg_id).values_list("headers", flat=True).first()
    return Header.TURN in (headers or {})
