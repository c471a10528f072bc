"""Pruning: bindings and queues at the broker that are left behind go, once no process that lives declares them.

Nothing of this happens by itself: in a rolling deploy old code needs what new code no longer declares, and a deploy may be rolled
back. RabbitMQ refuses *if-empty* and *if-unused* for quorum queues, so emptiness is looked at twice, after all is unbound.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kombu import Connection

from microworkflows import actual, declared, topology
from microworkflows.actual import Queue, Topology
from microworkflows.topology import Bound

_SETTLES_SECONDS = 1.0
"""Time in which a message that was routed before the queue was unbound has come to it."""


class Pruning(NamedTuple):
    """What may go, and what stays although it is left behind."""

    unbind: list[Bound]
    delete: list[Queue]
    held_back: list[str]
    """What stays, each with the reason, in words."""


def plan(found: Topology, *, drops_messages: bool = False) -> Pruning:
    """Return what may go.

    Args:
        found: What is at the broker.
        drops_messages: True to delete queues with the messages that wait there.
    """
    planned = Pruning([], [], [])
    for queue in found.queues:
        planned.unbind.extend(queue.left_behind)
        planned.held_back.extend(
            f"{queue.name} stays bound to {each.key}: a process that lives declares it, or did so in the last "
            f"{declared.STALE_AFTER.total_seconds() / 60:.0f} minutes"
            for each in queue.bindings
            if each.state is actual.State.KEPT and each.key != queue.name
        )
        if queue.is_left_behind:
            if reason := _reason_to_keep(queue, drops_messages=drops_messages):
                planned.held_back.append(f"{queue.name} stays: {reason}")
            else:
                planned.delete.append(queue)
    return planned


def prune(
    connection: Connection, planned: Pruning, *, say: Callable[[str], object], drops_messages: bool = False
) -> list[str]:
    """Unbind, then delete; say each thing that is done, and return what stays after all, with the reason.

    Raises:
        Exception: one of the connection's errors, such as a refusal.
        Error: of the database.
    """
    channel: Any  # whose stubs leave AMQP's verbs out
    with connection.channel() as channel:
        for bound in planned.unbind:
            channel.queue_unbind(bound.queue, exchange=bound.exchange, routing_key=bound.key)
            declared.forget([bound])
            say(f"{bound.queue} is no longer bound to {bound.key}.")
    if planned.delete:
        time.sleep(_SETTLES_SECONDS)
    stays = []
    for queue in planned.delete:
        if drops_messages:
            with connection.channel() as channel:
                number = channel.queue_purge(queue.name)
            say(f"{number} messages of {queue.name} were deleted.")
        depth, consumers = actual.load(connection, queue.name)
        if depth or consumers:
            stays.append(f"{queue.name} stays: meanwhile {_loaded(depth, consumers)}")
            continue
        _delete(connection, queue)
        say(f"The queue {queue.name} is deleted.")
    return stays


def _delete(connection: Connection, queue: Queue) -> None:
    channel: Any
    is_embedded = connection.transport.driver_type == "embedded"
    with connection.channel() as channel:
        channel.queue_delete(queue.name, if_empty=is_embedded)
        if queue.name == topology.name(queue.context):
            channel.exchange_delete(topology.owner_name(queue.context))
    declared.forget([Bound(each.exchange, queue.name, each.key) for each in queue.bindings])


def _reason_to_keep(queue: Queue, *, drops_messages: bool) -> str:
    if queue.is_kept:
        return "a process that lives declares it, or did so moments ago"
    if queue.consumers or (queue.depth and not drops_messages):
        return _loaded(queue.depth, queue.consumers)
    return ""


def _loaded(depth: int | None, consumers: int | None) -> str:
    return f"{depth} messages wait there, and it has {consumers} consumers"
