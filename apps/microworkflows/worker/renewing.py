"""Renewal: a message that came back often for no fault of its own gives way to a fresh copy.

The broker counts each delivery that came to nothing, also one that only waited in a worker that was killed or cut off; at the
twenty-first it makes the message a dead letter. A copy begins anew.
"""

import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from kombu import Connection, Message

from microworkflows import dead_letters, topology
from microworkflows.relay.publisher import login
from microworkflows.worker.request import CALM

logger = logging.getLogger(__name__)

HEADER = "microworkflows-renewals"
"""Number of copies that went before."""
LIMIT = 50
"""Number of renewals after which a message becomes a dead letter: it may be what kills the workers."""

_DUE_AT = topology.DELIVERY_LIMIT // 2
_TIMEOUT_SECONDS = 5.0
_AGAIN_SECONDS = 5


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
        key = topology.name(copy.queue)
        prepared = dead_letters.prepared(
            copy.message,
            channel=channel,
            headers={HEADER: copy.renewals},
            queue=copy.queue,
            user=login(connection),
        )
        if hasattr(channel, "basic_publish_confirm"):
            channel.basic_publish_confirm(
                prepared, exchange=exchange, routing_key=key, mandatory=True, timeout=_TIMEOUT_SECONDS
            )
        else:  # the embedded broker has it in a file once this returns
            channel.basic_publish(prepared, exchange=exchange, routing_key=key)


def _count(message: Message, header: str) -> int:
    headers: dict[str, Any] = message.headers or {}
    value = headers.get(header)
    return value if isinstance(value, int) else 0


class Renewer:
    """Replaces messages of a consumer by copies; those that come together are published together.

    Args:
        consumer: It gives connections and time, and tells by ``is_blocked`` whether the broker takes messages at present.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._due: deque[Copy] = deque()

    def clear(self) -> None:
        """Forget the messages: their connection is lost, and they come again."""
        self._due.clear()

    def replace(self, copy: Copy) -> None:
        """Publish the copy soon, then ack the original."""
        self._due.append(copy)
        if len(self._due) == 1:
            self._consumer.call_soon(self._publish)

    def _publish(self) -> None:
        if not self._due:
            return
        if self._consumer.is_blocked:  # the log says so
            self._publish_later()
            return
        try:
            with self._consumer.app.connection_for_write() as self._consumer.opening:
                publish(self._consumer.opening, self._due)
        except Exception as error:
            logger.warning(
                "%d messages could not be replaced by copies, which is tried again in %d s: %s: %s",
                *(len(self._due), _AGAIN_SECONDS, type(error).__name__, error),
            )
            self._publish_later()
            return
        while self._due:
            self._due.popleft().message.ack_log_error(CALM, self._consumer.connection_errors)

    def _publish_later(self) -> None:
        self._consumer.timer.call_after(_AGAIN_SECONDS, self._publish)
