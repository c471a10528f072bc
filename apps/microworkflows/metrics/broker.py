"""The queues, as the broker tells of them at this moment."""

from collections.abc import Iterator
from typing import Final

from microworkflows import celery_app, topology
from microworkflows.loads import Loads
from microworkflows.metrics.catalog import DEAD_LETTERS, QUEUE_CONSUMERS, QUEUE_MESSAGES
from microworkflows.metrics.samples import Sample

_SECONDS: Final = 2.0
"""Longest wait for one answer of the broker."""


def queues() -> Iterator[Sample]:
    """Tell what waits in each queue and among its dead letters; of a queue that nobody has declared, nothing is known.

    Raises:
        Exception: of whatever transport: the broker is away, or refuses.
    """
    loads = Loads(celery_app.get(), seconds=_SECONDS)
    try:
        for queue in topology.queues():
            depth, consumers = loads.of(topology.name(queue))
            if depth is not None and consumers is not None:
                yield Sample(QUEUE_MESSAGES, (queue,), depth)
                yield Sample(QUEUE_CONSUMERS, (queue,), consumers)
            if (dead := loads.of(topology.dead_letter_name(queue)).depth) is not None:
                yield Sample(DEAD_LETTERS, (queue,), dead)
    finally:
        loads.close()
