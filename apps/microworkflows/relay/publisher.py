"""The relay's way to the broker: send a batch, and learn the outcome of each message."""

import errno
import logging
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import amqp
from kombu import Connection

from microworkflows import conf, topology
from microworkflows.cloudevents import ATTEMPT_HEADER, CONTENT_TYPE, LABEL_HEADER
from microworkflows.errors import BrokerUnavailableError, ForeignQueueError
from microworkflows.relay import amqp_internals, frames
from microworkflows.relay.leadership import LONGEST_WAIT_SECONDS
from microworkflows.relay.upkeep import Upkeep, mend

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_LOOK_SECONDS = 1.0
_AT_ONCE_SECONDS = 0.001
"""Not 0, for which py-amqp would wait busily in the middle of a frame, as long as the rest does not come."""
_SENT_AT_ONCE = 64
"""Largest number of messages between two reads of the broker's answers: it must never wait for the relay to read."""


# py-amqp lets Linux end a connection whose bytes are not taken in for a second. So a broker that blocks publishers would be
# left, and sent everything once more; and the confirm timeout finds a broker that is gone.
_SOCKET_SETTINGS = {socket.TCP_USER_TIMEOUT: 0} if hasattr(socket, "TCP_USER_TIMEOUT") else {}


class Message(NamedTuple):
    """A message to publish, with the body that was made when its event was recorded."""

    id: UUID
    routing_key: str
    body: str
    attempt: int | None = None
    """Number of failed attempts so far, for a message to be retried; it travels as a header."""

    label: str | None = None
    """Label of the microworkflow that is to try again; None if all that listen are to get the message."""

    due_at: datetime | None = None
    """Time since which a message is due to be retried: another one for each failure, even for one that costs no attempt."""

    @property
    def headers(self) -> dict[str, int | str]:
        """Headers of the message, for facts that its body does not hold."""
        if self.attempt is None:
            return {}
        return {ATTEMPT_HEADER: self.attempt, **({LABEL_HEADER: self.label} if self.label else {})}


@dataclass(kw_only=True)
class Outcome:
    """The outcome of a batch. A message in none of the lists was not confirmed: publish it again."""

    confirmed: list[UUID] = field(default_factory=list)
    unheard: list[UUID] = field(default_factory=list)
    """Messages that the broker returned, because no queue is bound to the routing key."""
    refused: dict[UUID, str] = field(default_factory=dict)
    """Messages that the broker did not accept for now (nacked), each with the reason."""
    rejected: dict[UUID, str] = field(default_factory=dict)
    """Messages that the broker will never accept, each with the reason."""
    error: BaseException | None = None
    """The error that ended the batch early; the publisher must be opened anew."""


@dataclass(kw_only=True)
class Batch:
    """Messages on their way: sent, and not all of them confirmed."""

    messages: Sequence[Message]
    outcome: Outcome = field(default_factory=Outcome)
    """Outcomes that the broker has reported so far."""
    unconfirmed: dict[int, UUID] = field(default_factory=dict)
    """Messages without a reported outcome, by delivery tag, in the order of sending."""
    began: float = field(default_factory=time.monotonic)
    """Time of the monotonic clock at which sending began."""

    @property
    def untold(self) -> list[Message]:
        """Messages without a reported outcome."""
        outcome = self.outcome
        told = {*outcome.confirmed, *outcome.unheard, *outcome.refused, *outcome.rejected}
        return [message for message in self.messages if message.id not in told]


class Publisher(Protocol):
    """Publishes batches over one connection; not shared between threads."""

    def send(self, messages: Sequence[Message]) -> Batch:
        """Publish in this order, persistent and mandatory, without waiting for the confirms."""

    def settle(self, batch: Batch) -> Outcome:
        """Wait until the broker has reported on each message of a batch, or has gone away."""

    def keep_alive(self) -> bool:
        """Serve the connection while there is nothing to publish; return False if it is lost."""

    def depth(self, queue: str) -> int:
        """Return the number of messages that wait in a queue; 0 if the broker does not say.

        Raises:
            BrokerUnavailableError: the broker went away.
        """

    def mend(self, served: Collection[str]) -> Upkeep:
        """Declare again what the broker has lost; nothing may be under way.

        ``served`` are the labels of the queues to be bound to all their types.

        Raises:
            BrokerUnavailableError: the broker went away.
        """

    def close(self) -> None:
        """Close the connection; never raises."""


def connect(
    connection: Connection, *, name: str, waits: Callable[[], bool], served: Collection[str] = ()
) -> tuple[Publisher, list[str]]:
    """Connect to the broker and declare the topology.

    Args:
        connection: A new one, unconnected.
        name: Name of the relay, for log lines.
        waits: Called every second or so while the broker is waited for; returns False to wait no longer than necessary.
        served: Labels of the queues to be bound to all their types.

    Returns:
        A publisher for this kind of broker, and what was missing there before, in words.

    Raises:
        BrokerUnavailableError: the broker is out of reach or refuses the login, or a queue exists with other arguments,
            or is missing and may not be declared.
        ForeignQueueError: a queue belongs to another project.
    """
    timeout = min(conf.current().confirm_timeout, LONGEST_WAIT_SECONDS)

    def show_life(error: Exception, interval: float) -> None:
        waits()

    try:
        if _is_amqp(connection):
            given = connection.transport_options or {}
            connection.transport_options = {
                **given,
                # A broker that falls silent must not hold the relay for ever, whatever it waits for.
                "read_timeout": timeout,
                "write_timeout": timeout,
                "socket_settings": {**_SOCKET_SETTINGS, **given.get("socket_settings", {})},
            }
        # Kombu's connect() would sleep two seconds before its second try; the relay waits by itself, and can be stopped.
        connection.ensure_connection(
            max_retries=len(connection.alt) or 1,
            interval_start=0,
            interval_step=0,
            reraise_as_library_errors=False,
            errback=show_life,
        )
        publisher: Publisher = (
            _AmqpPublisher(connection, name=name, waits=waits)
            if _is_amqp(connection)
            else _FilePublisher(connection)
        )
        found = publisher.mend(served)
    except BrokerUnavailableError:
        raise
    except ForeignQueueError:
        connection.collect()
        raise
    except (*connection.connection_errors, *connection.channel_errors) as error:
        connection.collect()  # not release(), which asks the broker and waits for its answer
        raise BrokerUnavailableError(f"{connection.as_uri()}: {reason(error)}") from error
    if found.refusal:
        connection.collect()
        raise BrokerUnavailableError(f"{connection.as_uri()}: {found.refusal}")
    return publisher, found.missing


def reason(error: BaseException) -> str:
    """Return the reason why a broker could not be reached, in words.

    Linux calls it an invalid argument that no route leads to a machine; and, on the machine itself, that a connection was
    closed before py-amqp has set its options.
    """
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return f"no route leads there, or whoever is there hangs up at once ({error})"
    return f"{type(error).__name__}: {error}"


def login(connection: Connection) -> str:
    """Return the name of the user by which a connection is logged in; empty if the broker alone knows it.

    The broker has no users if it is the embedded one. With EXTERNAL and other mechanisms a certificate or ticket names
    the user: the URL must name it, too, or Kombu takes its own default for it.
    """
    if not _is_amqp(connection):
        return ""
    is_named = connection.login_method in {None, "PLAIN", "AMQPLAIN"}
    default = connection.transport.default_connection_params["userid"]
    return str(connection.userid or "") if is_named or connection.userid != default else ""


def _is_amqp(connection: Connection) -> bool:
    return bool(connection.transport.driver_type == "amqp")


class _AmqpPublisher:
    """Pipelined publisher confirms (RabbitMQ's extension of AMQP 0-9-1) on one channel.

    Delivery tags are counted here: py-amqp's own confirming publish takes any ack for the one it waits for.
    """

    def __init__(self, connection: Connection, *, name: str, waits: Callable[[], bool]) -> None:
        self._name = name
        self._connection = connection
        channel: Any = connection.channel()
        self._channel = channel
        self._waits = waits
        self._frames = frames.publish(
            channel=channel.channel_id,
            exchange=topology.exchange().name,
            content_type=CONTENT_TYPE,
            frame_max=amqp_internals.frame_max(channel),
            user_id=login(connection),
        )
        self._tag = 0
        self._under_way: list[Batch] = []
        self._returned: set[UUID] = set()
        self._is_blocked = False
        self._looked_at = time.monotonic()
        self._error: BaseException | None = None
        self._errors = (*connection.connection_errors, *connection.channel_errors)
        channel.confirm_select()
        amqp_internals.on_outcome(channel, ack=self._on_ack, nack=self._on_nack, returned=self._on_return)
        amqp_internals.on_blocked(channel, blocked=self._on_blocked, unblocked=self._on_unblocked)

    def send(self, messages: Sequence[Message]) -> Batch:
        batch = Batch(messages=messages)
        self._under_way.append(batch)
        try:
            for start in range(0, len(messages), _SENT_AT_ONCE):
                if self._error is None:
                    self._await_unblocked()
                if self._error is None:
                    self._write(batch, messages[start : start + _SENT_AT_ONCE])
                    self._read()
        except self._errors as error:
            self._fail(error)
        return batch

    def settle(self, batch: Batch) -> Outcome:
        timeout = conf.current().confirm_timeout
        deadline = time.monotonic() + timeout
        try:
            while batch.unconfirmed and self._error is None:
                if self._is_blocked:
                    deadline = time.monotonic() + timeout
                if (remaining := deadline - time.monotonic()) <= 0:
                    raise TimeoutError(
                        f"{len(batch.unconfirmed)} messages were not confirmed in {timeout} s; "
                        "has a quorum queue lost its majority?"
                    )
                self._drain(min(remaining, _LOOK_SECONDS))
        except self._errors as error:
            self._fail(error)
        self._under_way.remove(batch)
        batch.outcome.error = self._error
        return batch.outcome

    def keep_alive(self) -> bool:
        """Send the heartbeats that the broker expects, and read those that it sends, or its goodbye."""
        try:
            with suppress(TimeoutError):
                self._connection.drain_events(timeout=_AT_ONCE_SECONDS)
            self._connection.heartbeat_check()
        except self._errors as error:
            self._fail(error)
        return self._error is None

    def depth(self, queue: str) -> int:
        return self._asked(lambda: _depth(self._connection, queue))

    def mend(self, served: Collection[str]) -> Upkeep:
        return self._asked(lambda: mend(self._connection, served=served, after_each=self._waits))

    def close(self) -> None:
        self._connection.release()

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """Return the broker's answer to a question that channels of its own ask."""
        try:
            self._await_unblocked()
            return ask()
        except self._errors as error:
            self._fail(error)
            raise BrokerUnavailableError(
                f"{self._connection.as_uri()}: {type(error).__name__}: {error}"
            ) from error

    def _fail(self, error: BaseException) -> None:
        """Keep the error for all batches under way: nothing is sent or read after it."""
        self._error = error
        self._connection.collect()  # release() would wait for the answer of a broker that may be silent

    def _write(self, batch: Batch, messages: Sequence[Message]) -> None:
        pieces = []
        for message in messages:
            self._tag += 1
            batch.unconfirmed[self._tag] = message.id
            pieces.append(
                self._frames(
                    body=message.body,
                    routing_key=message.routing_key,
                    message_id=message.id,
                    headers=message.headers,
                )
            )
        try:
            amqp_internals.write(self._channel, b"".join(pieces))
        except (TimeoutError, BlockingIOError) as error:
            raise TimeoutError(
                "the broker reads nothing of what is sent; is it out of memory or disk, or off the network?"
            ) from error

    def _await_unblocked(self) -> None:
        while self._is_blocked:
            self._drain(_LOOK_SECONDS)

    def _drain(self, timeout: float) -> None:
        """Wait for the broker to say something; meanwhile, show signs of life.

        Raises:
            TimeoutError: the broker takes nothing in, and the relay is told to stop.
        """
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=timeout)
        if (now := time.monotonic()) < self._looked_at + _LOOK_SECONDS:
            return
        self._looked_at = now
        self._connection.heartbeat_check()
        if not self._waits() and self._is_blocked:
            raise TimeoutError("the broker blocks publishers, and the relay is told to stop")

    def _on_blocked(self) -> None:
        self._is_blocked = True
        logger.warning(
            "relay %s: waits, since the broker blocks publishers: it is short of memory or disk (its log says which); "
            "nothing is lost",
            self._name,
            extra={"context": self._name},
        )

    def _on_unblocked(self) -> None:
        self._is_blocked = False
        logger.info(
            "relay %s: goes on, since the broker takes messages in again",
            self._name,
            extra={"context": self._name},
        )

    def _read(self) -> None:
        """Read what the broker has sent so far; it may be a heartbeat, after which nothing comes."""
        with suppress(TimeoutError):
            while amqp_internals.has_input(self._channel):
                self._connection.drain_events(timeout=_AT_ONCE_SECONDS)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for batch, message_id in self._settled(tag, multiple):
            if message_id in self._returned:
                self._returned.discard(message_id)
                batch.outcome.unheard.append(message_id)
            else:
                batch.outcome.confirmed.append(message_id)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for batch, message_id in self._settled(tag, multiple):
            self._returned.discard(message_id)
            batch.outcome.refused[message_id] = (
                "the broker nacked it (a full queue, or a queue without its majority)"
            )

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: amqp.Message) -> None:
        """Note an unroutable message: RabbitMQ returns it before it acks it."""
        self._returned.add(UUID(message.properties["message_id"]))

    def _settled(self, tag: int, multiple: bool) -> Iterator[tuple[Batch, UUID]]:
        for batch in self._under_way:
            told = list(takewhile(lambda sent: sent <= tag, batch.unconfirmed)) if multiple else [tag]
            for each in told:
                if (message_id := batch.unconfirmed.pop(each, None)) is not None:
                    yield batch, message_id


def _depth(connection: Connection, queue: str) -> int:
    """Return the number of messages that wait in a queue; 0 if it is missing, or if this user may not ask."""
    channel: Any = connection.channel()  # the broker closes it with a refusal
    try:
        count = int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors as error:
        if isinstance(error, connection.connection_errors):
            raise
        return 0
    channel.close()
    return count


class _FilePublisher:
    """Publishes to the embedded broker, where a written message is a confirmed one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = connection.channel()
        self._exchange = topology.exchange().name
        self._error: BaseException | None = None

    def send(self, messages: Sequence[Message]) -> Batch:
        batch = Batch(messages=messages)
        outcome = batch.outcome
        try:
            for message in (
                () if self._error else messages
            ):  # after an error nothing overtakes what was not sent
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
            self._error = error
        outcome.error = self._error
        return batch

    def settle(self, batch: Batch) -> Outcome:
        """Return the outcome, which is known since the batch was sent."""
        return batch.outcome

    def keep_alive(self) -> bool:
        """Return True: files need no heartbeat."""
        return True

    def depth(self, queue: str) -> int:
        return _depth(self._connection, queue)

    def mend(self, served: Collection[str]) -> Upkeep:
        try:
            topology.declare(self._channel, served=served)
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            self._connection.collect()
            raise BrokerUnavailableError(f"{self._connection.as_uri()}: {reason(error)}") from error
        return Upkeep([])

    def close(self) -> None:
        self._connection.release()
