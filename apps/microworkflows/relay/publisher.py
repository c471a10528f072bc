"""The relay's way to the broker: publish a batch, and learn of each message whether the broker has it."""

import select
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import amqp
from kombu import Connection

from microworkflows import conf, topology
from microworkflows.cloudevents import ATTEMPT_HEADER, CONTENT_TYPE
from microworkflows.errors import BrokerUnavailableError

_DRAIN_EVERY = 64
"""So many publishes at most between two looks at what the broker sent back: it must never wait for us to read."""


class Message(NamedTuple):
    """What the wire needs of an event; made when it was recorded."""

    id: UUID
    routing_key: str
    body: str
    attempt: int | None = None
    """For a message to be retried: how many attempts failed so far; it travels as a header."""

    @property
    def headers(self) -> dict[str, int]:
        """Headers of the message, beside what its body says."""
        return {} if self.attempt is None else {ATTEMPT_HEADER: self.attempt}


@dataclass(kw_only=True)
class Outcome:
    """What became of a batch. A message in none of the lists was not confirmed: publish it again."""

    confirmed: list[UUID] = field(default_factory=list)
    unheard: list[UUID] = field(default_factory=list)
    """Returned: no queue is bound to the routing key."""
    refused: dict[UUID, str] = field(default_factory=dict)
    """Not accepted by the broker (nacked), and why."""
    error: BaseException | None = None
    """What ended the batch early; the publisher must be opened anew."""


class Publisher(Protocol):
    """Publishes batches over one connection; not shared between threads."""

    def publish(self, messages: Sequence[Message]) -> Outcome:
        """Publish in this order, persistent, and wait until the broker has told of each one."""

    def keep_alive(self) -> bool:
        """Do what the connection needs while there is nothing to publish; False if it is lost."""

    def close(self) -> None:
        """Close the connection; never raises."""


def connect(connection: Connection) -> Publisher:
    """Connect to the broker, declare the topology and return a publisher for its kind.

    Raises:
        BrokerUnavailableError: the broker does not let us in, or has a queue declared with other arguments.
    """
    timeout = conf.current().confirm_timeout
    try:
        connection.transport_options = {
            **(connection.transport_options or {}),
            # A broker that falls silent must not hold us for ever, whatever we wait for.
            **({"read_timeout": timeout, "write_timeout": timeout} if _is_amqp(connection) else {}),
        }
        # Kombu's connect() would sleep two seconds before its second try; the relay waits by itself, and can be stopped.
        connection.ensure_connection(
            max_retries=len(connection.alt) or 1,
            interval_start=0,
            interval_step=0,
            reraise_as_library_errors=False,
        )
        channel: Any = connection.channel()
        topology.declare(channel)
        return (
            _AmqpPublisher(connection, channel)
            if _is_amqp(connection)
            else _FilePublisher(connection, channel)
        )
    except (*connection.connection_errors, *connection.channel_errors) as error:
        connection.collect()  # not release(), which asks the broker and waits for its answer
        raise BrokerUnavailableError(f"{connection.as_uri()}: {type(error).__name__}: {error}") from error


def _is_amqp(connection: Connection) -> bool:
    return bool(connection.transport.driver_type == "amqp")


class _AmqpPublisher:
    """Pipelined publisher confirms (RabbitMQ's extension of AMQP 0-9-1) on one channel.

    Delivery tags are counted here: py-amqp's own confirming publish takes any ack for the one it waits for.
    """

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = conf.current().exchange
        self._tag = 0
        self._unconfirmed: dict[int, UUID] = {}
        self._returned: set[UUID] = set()
        self._outcome = Outcome()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def publish(self, messages: Sequence[Message]) -> Outcome:
        self._outcome = Outcome()
        try:
            for message in messages:
                self._publish(message)
            self._await_confirms()
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            self._outcome.error = error
            self._connection.collect()  # release() would wait for the answer of a broker that may be silent
        return self._outcome

    def keep_alive(self) -> bool:
        """Send the heartbeats that the broker expects, and read what it says by itself: its own, or a goodbye."""
        try:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=0)
            self._connection.heartbeat_check()
        except (*self._connection.connection_errors, *self._connection.channel_errors):
            self._connection.collect()
            return False
        return True

    def close(self) -> None:
        self._connection.release()

    def _publish(self, message: Message) -> None:
        self._tag += 1
        self._unconfirmed[self._tag] = message.id
        self._channel.basic_publish(
            amqp.Message(
                message.body,
                content_type=CONTENT_TYPE,
                content_encoding="utf-8",
                delivery_mode=2,
                message_id=str(message.id),
                application_headers=message.headers,
            ),
            exchange=self._exchange,
            routing_key=message.routing_key,
            mandatory=True,
        )
        if self._tag % _DRAIN_EVERY == 0:
            while select.select([self._channel.connection.sock], [], [], 0)[0]:
                self._connection.drain_events(timeout=conf.current().confirm_timeout)

    def _await_confirms(self) -> None:
        deadline = time.monotonic() + conf.current().confirm_timeout
        while self._unconfirmed:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(
                    f"{len(self._unconfirmed)} messages were not confirmed in {conf.current().confirm_timeout} s; "
                    "is the broker out of memory or disk, or has a quorum queue lost its majority?"
                )
            self._connection.drain_events(timeout=remaining)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for message_id in self._settled(tag, multiple):
            if message_id in self._returned:
                self._returned.discard(message_id)
                self._outcome.unheard.append(message_id)
            else:
                self._outcome.confirmed.append(message_id)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for message_id in self._settled(tag, multiple):
            self._returned.discard(message_id)
            self._outcome.refused[message_id] = (
                "the broker nacked it (a full queue, or a queue without its majority)"
            )

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: amqp.Message) -> None:
        """RabbitMQ returns an unroutable message before it acks it."""
        self._returned.add(UUID(message.properties["message_id"]))

    def _settled(self, tag: int, multiple: bool) -> list[UUID]:
        tags = [known for known in self._unconfirmed if known <= tag] if multiple else [tag]
        return [self._unconfirmed.pop(known) for known in tags if known in self._unconfirmed]


class _FilePublisher:
    """For the embedded broker: a message that was written is confirmed."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection = connection
        self._channel = channel
        self._exchange = conf.current().exchange

    def publish(self, messages: Sequence[Message]) -> Outcome:
        outcome = Outcome()
        try:
            for message in messages:
                prepared = self._channel.prepare_message(
                    message.body,
                    content_type=CONTENT_TYPE,
                    content_encoding="utf-8",
                    headers=message.headers,
                    properties={"message_id": str(message.id), "delivery_mode": 2},
                )
                reached = self._channel.basic_publish(prepared, self._exchange, message.routing_key)
                (outcome.confirmed if reached else outcome.unheard).append(message.id)
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            outcome.error = error
        return outcome

    def keep_alive(self) -> bool:
        """Nobody waits for a heartbeat."""
        return True

    def close(self) -> None:
        self._connection.release()
