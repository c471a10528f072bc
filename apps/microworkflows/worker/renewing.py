"""Renewal: a message that came back often for no fault of its own gives way to a fresh copy.

The broker counts each delivery that came to nothing, also one that only waited in a worker that was killed or cut off; at the
twenty-first it makes the message a dead letter. A copy begins anew.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from kombu import Connection, Message

from microworkflows import topology

logger = logging.getLogger(__name__)

HEADER = "microworkflows-renewals"
"""Number of copies that went before."""
LIMIT = 10
"""Number of renewals after which a message becomes a dead letter: it may be what kills the workers."""

_DUE_AT = topology.DELIVERY_LIMIT // 2
_TIMEOUT_SECONDS = 10.0
_BROKERS_OWN = ("x-delivery-count", "x-acquired-count", "x-death", "x-first-death-", "x-last-death-")


def is_due(message: Message) -> bool:
    """Return True if half of the deliveries that the broker grants a message are used up."""
    return _count(message, topology.DELIVERY_COUNT) >= _DUE_AT


def renewals(message: Message) -> int:
    """Return how often a message was renewed."""
    return _count(message, HEADER)


def publish_copies(connection: Connection, messages: Iterable[tuple[Message, str]]) -> None:
    """Publish a copy of each message to its queue, and wait for the broker's confirms; the originals are not settled.

    Raises:
        Exception: the broker did not take them all; those that it took come twice.
    """
    channel: Any = connection.channel()
    exchange = topology.exchange().name
    for message, queue in messages:
        copy = _copy(channel, message, user=connection.userid)
        if hasattr(channel, "basic_publish_confirm"):
            channel.basic_publish_confirm(
                copy, exchange=exchange, routing_key=queue, mandatory=True, timeout=_TIMEOUT_SECONDS
            )
        else:  # the embedded broker has it in a file once this returns
            channel.basic_publish(copy, exchange=exchange, routing_key=queue)


def _copy(channel: Any, message: Message, *, user: str | None) -> Any:
    headers = {
        name: value for name, value in (message.headers or {}).items() if not _begins_with(name, _BROKERS_OWN)
    }
    properties = {
        name: value
        for name, value in (message.properties or {}).items()
        if name in {"message_id", "correlation_id", "timestamp", "app_id", "type", "user_id"}
    }
    if "user_id" in properties:
        properties["user_id"] = user  # the broker takes no other's
    return channel.prepare_message(
        message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers={**headers, HEADER: renewals(message) + 1},
        properties={**properties, "delivery_mode": 2},
    )


def _begins_with(name: str, beginnings: Sequence[str]) -> bool:
    return any(name.startswith(each) for each in beginnings)


def _count(message: Message, header: str) -> int:
    value = (message.headers or {}).get(header)
    return value if isinstance(value, int) else 0
