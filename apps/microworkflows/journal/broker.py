"""The journal's exchange and its one queue at the broker: bounded, the oldest goes first, so that nobody ever waits for a reader."""

from contextlib import suppress
from typing import Any

from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue

from microworkflows import celery_app, conf, topology

MOST_BYTES = 64 * 1024 * 1024
"""Bound of the queue. It is an argument and no policy: a queue without it would fill the broker's disk where nobody collects."""

MOST_FILES = 1_000
"""Largest number of messages in the embedded broker's queue, which knows no bound in bytes."""

_SECONDS = 5.0


def queue() -> Queue:
    """Return the queue; its exchange has the same name, which is no context's."""
    name = f"{topology.exchange().name}.journal"
    return Queue(
        name,
        Exchange(name, type="direct", durable=True),
        routing_key=name,
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-max-length-bytes": MOST_BYTES,
            "x-overflow": "drop-head",
            "x-delivery-limit": 1_000_000_000,  # a collector that loses its database gives back what it holds
        },
    )


def connect(**options: Any) -> Connection:
    """Return an open connection of this thread's own, with bounded waits.

    Raises:
        Exception: of whatever transport; the broker is away.
    """
    waits = {"read_timeout": _SECONDS, "write_timeout": _SECONDS, **options}
    connection = celery_app.get().connection_for_write(
        heartbeat=0, connect_timeout=_SECONDS, transport_options=waits
    )
    try:
        connection.connect()
    except BaseException:
        connection.collect()
        raise
    return connection


def declare(connection: Connection) -> None:
    """Declare exchange and queue, as far as this user may; where each context has a user, an administrator has done so."""
    if conf.current().users:
        return
    with suppress(AccessRefused), connection.channel() as channel:
        queue()(channel).declare()


def make_room(connection: Connection) -> None:
    """Drop the oldest messages of the embedded broker's queue beyond the bound, which RabbitMQ does by itself."""
    if connection.transport.driver_type != "embedded":
        return
    name = queue().name
    with connection.channel() as channel:
        beyond = channel.queue_declare(name, passive=True).message_count - MOST_FILES  # type: ignore[attr-defined]
        for _ in range(beyond):
            channel.basic_get(name, no_ack=True)  # type: ignore[attr-defined]
