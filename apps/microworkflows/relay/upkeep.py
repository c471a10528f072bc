"""Upkeep of the topology: what the broker has lost since it was declared is found, told and declared again."""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from kombu import Connection, Queue

from microworkflows import topology
from microworkflows.errors import TopologyError

_NOT_FOUND = 404


class Upkeep(NamedTuple):
    """Findings of one look at the broker."""

    missing: list[str]
    """Queues and exchanges that were not there, in words. (A missing binding cannot be seen.)"""
    refusal: str = ""
    """The broker's reason not to declare something; empty if everything is declared now."""


def mend(connection: Connection, *, served: Collection[str], after_each: Callable[[], object]) -> Upkeep:
    """Declare the topology again, which adds what is missing, bindings too, and changes nothing else.

    Args:
        connection: An open one; channels of its own are used, since the broker closes a channel with each refusal.
        served: Labels of the queues to be bound to all their types, as :func:`microworkflows.topology.declare` takes them.
        after_each: Called after each answer.

    Raises:
        ForeignQueueError: a queue belongs to another project.
        Exception: one of the connection's ``connection_errors``: the broker went away.
    """
    missing = []
    channel: Any = connection.channel()
    for name, look in _declared():
        try:
            look(channel)
        except connection.channel_errors as error:
            if isinstance(error, connection.connection_errors):
                raise
            if getattr(error, "code", None) == _NOT_FOUND:
                missing.append(name)
            channel = connection.channel()
        after_each()
    refusals: tuple[type[BaseException], ...] = (*connection.channel_errors, TopologyError)
    try:
        topology.declare(channel, served=served, after_each=after_each)
    except refusals as error:
        if isinstance(error, connection.connection_errors):
            raise
        return Upkeep(missing, refusal=f"{type(error).__name__}: {' '.join(str(error).split())}")
    with suppress(*connection.channel_errors):
        channel.close()
    return Upkeep(missing)


def _declared() -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yield the name of each exchange and queue, and a function that asks a channel for it."""
    yield (
        f"the exchange {topology.exchange().name}",
        lambda channel: topology.exchange()(channel).declare(passive=True),
    )
    for label in topology.queues():
        for queue in (topology.dead_letters(label), topology.queue(label)):
            yield f"the queue {queue.name}", partial(_look_for, queue)


def _look_for(queue: Queue, channel: Any) -> None:
    queue(channel).queue_declare(passive=True)
