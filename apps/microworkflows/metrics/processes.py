"""Workers and relays, as the database knows of them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db import connections

from microworkflows import heartbeats
from microworkflows.metrics import database
from microworkflows.metrics.catalog import (
    HEARTBEAT_AGE,
    RELAY_LEADS,
    RELAY_SILENT,
    RELAYS_STANDING_BY,
    WORKERS,
)
from microworkflows.metrics.samples import Sample
from microworkflows.relay import seen

MISSED_FOR: Final = timedelta(hours=1)
"""Time for which a worker that fell silent is missed; afterwards it is gone, whatever the reason."""


def workers() -> Iterator[Sample]:
    """Tell who serves each queue, by the heartbeats."""
    with database.limited():
        found = [worker for worker in heartbeats.workers() if worker.stopped_at is None]
    for queue in database.queues():
        here = [worker for worker in found if worker.queue == queue]
        alive = sum(worker.is_alive for worker in here)
        silent = sum(not worker.is_alive and worker.age <= MISSED_FOR for worker in here)
        yield Sample(WORKERS, (queue, "alive"), alive)
        yield Sample(WORKERS, (queue, "silent"), silent)
        if here:
            age = min(worker.age for worker in here)
            yield Sample(HEARTBEAT_AGE, (queue,), max(age.total_seconds(), 0.0))


def relays() -> Iterator[Sample]:
    """Tell who relays each context, by the locks that leaders hold."""
    connection = connections[database.alias()]
    with database.limited():
        found = seen.relays(connection, database.contexts())
    for context, relays in found.items():
        yield Sample(RELAY_LEADS, (context,), int(relays.leader is not None))
        if relays.leader is not None and relays.leader.silent is not None:
            yield Sample(RELAY_SILENT, (context,), max(relays.leader.silent, 0.0))
        if connection.vendor == "postgresql":
            yield Sample(RELAYS_STANDING_BY, (context,), len(relays.standing_by))
