"""The queues, as the broker tells of them at this moment."""

from collections.abc import Iterable, Iterator
from typing import Final

from microworkflows import actual, celery_app, topology
from microworkflows.loads import Loads
from microworkflows.metrics import database
from microworkflows.metrics.catalog import DEAD_LETTERS, QUEUE_CONSUMERS, QUEUE_MESSAGES
from microworkflows.metrics.samples import Sample

_SECONDS: Final = 2.0
"""Longest wait for one answer of the broker."""


def queues() -> Iterator[Sample]:
    """Tell what waits in each queue and among its dead letters; of a queue that nobody has declared, nothing is known.

    Raises:
        Exception: of whatever transport: the broker is away, or refuses.
    """
    yield from _loads(topology.queues())


def left_behind() -> Iterator[Sample]:
    """Tell the same of the queues on record that no installed app declares: an app that is gone leaves one, and it may grow.

    Raises:
        Exception: of whatever transport, or of the database.
    """
    with database.limited():
        names = actual.left_behind()
    yield from _loads(sorted({actual.context_of(name) for name in names} - set(topology.queues())))


def _loads(labels: Iterable[str]) -> Iterator[Sample]:
    loads = Loads(celery_app.get(), seconds=_SECONDS)
    try:
        for queue in labels:
            depth, consumers = loads.of(topology.name(queue))
            if depth is not None and consumers is not None:
                yield Sample(QUEUE_MESSAGES, (queue,), depth)
                yield Sample(QUEUE_CONSUMERS, (queue,), consumers)
            if (dead := loads.of(topology.dead_letter_name(queue)).depth) is not None:
                yield Sample(DEAD_LETTERS, (queue,), dead)
    finally:
        loads.close()
