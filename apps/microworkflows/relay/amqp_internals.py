"""py-amqp's internals: each undocumented name of its channels and connections that the relay relies on.

Tests verify the description of each.
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
    """Return True, without waiting, if the broker has sent something."""
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
    """Call functions with the outcomes of publishing on a confirming channel.

    ``ack`` and ``nack`` take the delivery tag, and True if it also stands for all tags before it. ``returned`` takes the
    error, exchange, routing key and message of an unroutable message.
    """
    channel.events["basic_ack"].add(ack)
    channel.events["basic_nack"].add(nack)
    channel.events["basic_return"].add(returned)


def on_blocked(channel: Any, *, blocked: Callable[[], None], unblocked: Callable[[], None]) -> None:
    """Call functions when the broker, short of memory or disk, stops to take messages in, and when it goes on."""
    channel.connection.on_blocked = lambda reason: blocked()
    channel.connection.on_unblocked = unblocked
