"""Renewal: a message that came back often for no fault of its own gives way to a fresh copy.

The broker counts each delivery that came to nothing, also one that only waited in a worker that was killed or cut off; at the
twenty-first it makes the message a dead letter. A copy begins anew.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from kombu import Connection, Message

from microworkflows import dead_letters, topology
from microworkflows.relay.publisher import login

HEADER = "microworkflows-renewals"
"""Number of copies that went before."""
LIMIT = 50
"""Number of renewals after which a message becomes a dead letter: it may be what kills the workers."""

_DUE_AT = topology.DELIVERY_LIMIT // 2
_TIMEOUT_SECONDS = 5.0


def is_due(message: Message) -> bool:
    """Return True if half of the deliveries that the broker grants a message are used up."""
    redelivered = bool(message.delivery_info.get("redelivered"))  # else a publisher wrote the count
    return redelivered and _count(message, topology.DELIVERY_COUNT) >= _DUE_AT


def renewals(message: Message) -> int:
    """Return how often a message was renewed."""
    return _count(message, HEADER)


class Copy(NamedTuple):
    """A message that is to give way to a copy."""

    message: Message
    queue: str
    renewals: int
    """Number of copies that the new one counts before it, itself included."""


def publish(connection: Connection, copies: Iterable[Copy]) -> None:
    """Publish copies to their queues, and wait for the broker's confirms; the originals are not settled.

    Raises:
        Exception: the broker did not take them all; those that it took come twice.
    """
    channel: Any = connection.channel()
    exchange = topology.exchange().name
    for copy in copies:
        prepared = dead_letters.prepared(
            copy.message,
            channel=channel,
            headers={HEADER: copy.renewals},
            queue=copy.queue,
            user=login(connection),
        )
        if hasattr(channel, "basic_publish_confirm"):
            channel.basic_publish_confirm(
                prepared, exchange=exchange, routing_key=copy.queue, mandatory=True, timeout=_TIMEOUT_SECONDS
            )
        else:  # the embedded broker has it in a file once this returns
            channel.basic_publish(prepared, exchange=exchange, routing_key=copy.queue)


def _count(message: Message, header: str) -> int:
    headers: dict[str, Any] = message.headers or {}
    value = headers.get(header)
    return value if isinstance(value, int) else 0
