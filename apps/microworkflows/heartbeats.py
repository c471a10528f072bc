"""Heartbeats: each worker notes at each queue that it lives, so that others can tell who serves a queue.

The times are the database's, so the clocks of the machines need not agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import DurationField, ExpressionWrapper, F

from microworkflows import times
from microworkflows.models import Heartbeat

EVERY = timedelta(seconds=5)
"""Time between two heartbeats of a worker."""

STALE_AFTER = 4 * EVERY
"""Age of the last heartbeat at which nobody can tell any more whether the worker lives."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """The process of a worker that receives messages."""

    worker: str
    """Celery's name of the worker, such as ``payments@host``."""
    host: str
    pid: int
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The last that was seen of a worker at a queue."""

    queue: str
    process: Process
    at: datetime
    age: timedelta
    """Time since then, by the database's clock."""
    is_alive: bool
    """False if it was stopped, or if its last heartbeat is too old to tell."""
    stopped_at: datetime | None
    """Time at which it stopped consuming; None if it was never told to."""
    handling: int
    """Number of messages that its processes then had in hand, from all its queues."""
    depth: int | None
    """Number of messages that then waited in the queue; None if unknown."""


def last_seen() -> dict[str, Seen]:
    """Return, by queue, the worker that serves it, or else the one that was seen there last."""
    return {seen.queue: seen for seen in sorted(workers(), key=lambda seen: (seen.is_alive, seen.at))}


def workers() -> list[Seen]:
    """Return what was last seen of each worker at each of its queues, by queue and name."""
    age = ExpressionWrapper(times.database_now() - F("seen_at"), output_field=DurationField())
    return [
        Seen(
            queue=row.queue,
            process=Process(
                worker=row.worker, host=row.host, pid=row.pid, started_at=times.aware(row.started_at)
            ),
            at=times.aware(row.seen_at),
            age=row.age,
            is_alive=row.stopped_at is None and row.age <= STALE_AFTER,
            stopped_at=row.stopped_at and times.aware(row.stopped_at),
            handling=row.handling,
            depth=row.depth,
        )
        for row in Heartbeat.objects.annotate(age=age).order_by("queue", "worker")
    ]


def note(process: Process, *, depths: Mapping[str, int | None], handling: int) -> None:
    """Note that a worker lives.

    Args:
        process: The worker; a process that bears the name of an earlier one takes its place.
        depths: By each queue that it consumes, the number of messages that wait there; None if unknown.
        handling: Number of messages in the hands of its processes.
    """
    rows = [
        Heartbeat(
            queue=queue,
            worker=process.worker,
            host=process.host,
            pid=process.pid,
            started_at=process.started_at,
            seen_at=times.database_now(),
            stopped_at=None,
            handling=handling,
            depth=depth,
        )
        for queue, depth in depths.items()
    ]
    Heartbeat.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["queue", "worker"],
        update_fields=["host", "pid", "started_at", "seen_at", "stopped_at", "handling", "depth"],
    )


def note_stop(process: Process) -> None:
    """Note that a worker has stopped consuming, unless another has taken its name and place meanwhile."""
    own = Heartbeat.objects.filter(worker=process.worker, host=process.host, pid=process.pid)
    now = times.database_now()
    own.update(seen_at=now, stopped_at=now)
