"""py-amqp's insides: each name of its channels and connections, beyond its documented interface, that the relay relies on.

Tests hold each of them to what is said of it here.
"""

import select
from collections.abc import Callable
from typing import Any


def write(channel: Any, frames: bytes) -> None:
    """Write frames that were assembled elsewhere to the channel's connection."""
    connection = channel.connection
    connection.transport.write(frames)
    connection.bytes_sent += 1  # py-amqp counts writes to know when a heartbeat is due


def has_input(channel: Any) -> bool:
    """Tell, without waiting, whether the broker has sent something."""
    return bool(select.select([channel.connection.sock], [], [], 0)[0])


def frame_max(channel: Any) -> int:
    """Return the largest frame in bytes, as negotiated with the broker."""
    return int(channel.connection.frame_max)


def on_outcome(
    channel: Any,
    *,
    ack: Callable[[int, bool], None],
    nack: Callable[[int, bool], None],
    returned: Callable[..., None],
) -> None:
    """Have functions called with the outcome of what is published on a confirming channel.

    ``ack`` and ``nack`` take the delivery tag and whether it stands for all before it too; ``returned`` takes the error,
    exchange, routing key and message of one that no queue was bound to.
    """
    channel.events["basic_ack"].add(ack)
    channel.events["basic_nack"].add(nack)
    channel.events["basic_return"].add(returned)
