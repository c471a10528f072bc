"""Dead-lettering: the worker's parent publishes what it refuses to the dead letters, with the reason, then acks it.

It waits for no answer: the event loop goes on, and the confirm comes by it. If the broker does not confirm, or takes no
messages at present, the message is rejected, and the broker makes it a dead letter by itself, without the reason. So no
message is lost. After a crash between the two steps it is a dead letter twice.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from kombu import Connection, Message

from microworkflows import conf, dead_letters, logs, texts, topology
from microworkflows.relay import amqp_internals
from microworkflows.relay.publisher import login
from microworkflows.worker.publishing import Publishing

logger = logs.logger(__name__)

_HEADER_ROOM = 64
"""Bytes of a header frame beside properties and headers."""


@dataclass(eq=False, kw_only=True)
class _Letter:
    """A refused message on its way."""

    message: Message
    queue: str
    headers: dict[str, str]
    timeout: Any = None
    """Celery's timer entry that ends the wait for the confirm."""


class DeadLettering:
    """Makes refused messages dead letters, over a connection of their own.

    Args:
        consumer: Celery's consumer.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._publishing = Publishing(consumer, lost=self._on_lost)
        self._channel: Any = None
        self._unsent: deque[_Letter] = deque()
        self._unconfirmed: dict[int, _Letter] = {}
        """Letters by the delivery tag of their publishing, in that order."""
        self._tag = 0
        self._returned: set[str] = set()

    @property
    def connection(self) -> Connection | None:
        """The connection of the dead letters, if one is open."""
        return self._publishing.connection

    def clear(self) -> None:
        """Forget the letters under way: the consumer's connection is lost, and the broker delivers their messages again."""
        for letter in self._unconfirmed.values():
            letter.timeout.cancel()
        self._unsent.clear()
        self._forget_channel()
        self._publishing.close()

    def refuse(self, message: Message, *, queue: str, error: BaseException) -> None:
        """Make a message of an event queue a dead letter."""
        key = str(message.delivery_info.get("routing_key") or "")
        headers = dead_letters.reason_headers(error, queue=queue, routing_key=key)
        letter = _Letter(message=message, queue=queue, headers=headers)
        if amqp_internals.UNREADABLE in message.headers:
            self._reject(letter, "its properties cannot be read, so the broker keeps them")
            return
        if self._consumer.connection.transport.driver_type == "amqp":
            # Later, by itself: publishing reads from the connection, and this is called while it is read.
            self._unsent.append(letter)
            self._consumer.call_soon(self._send)
        else:
            self._put(letter)

    def _put(self, letter: _Letter) -> None:
        """Publish to the embedded broker, where a written message is a confirmed one."""
        channel = letter.message.channel
        prepared = dead_letters.prepared(
            letter.message, channel=channel, headers=letter.headers, queue=letter.queue, user=""
        )
        key = topology.dead_letter_name(letter.queue)
        if dead_letters.publish(channel, prepared, routing_key=key):
            self._done(letter)
        else:
            self._reject(letter, "nothing is bound to its routing key")

    def _send(self) -> None:
        if not self._unsent:  # the connection was lost meanwhile
            return
        letter = self._unsent.popleft()
        try:
            channel = self._open()
            if self._publishing.is_blocked:
                self._reject(letter, "the broker takes no messages, for it is short of memory or disk")
                return
            prepared = self._prepared(letter, channel)
        except Exception as error:  # anything may be in a foreign header
            self._reject(letter, f"it cannot be written again: {type(error).__name__}: {error}")
            return
        try:
            # It first reads what has come, which may be the end of the channel: then the tags begin anew.
            dead_letters.publish(channel, prepared, routing_key=topology.dead_letter_name(letter.queue))
        except Exception as error:  # of whatever transport; it must not end the consumer's connection
            self._reject(letter, f"{type(error).__name__}: {error}")
            self._publishing.lose(error)
            return
        self._tag += 1
        self._unconfirmed[self._tag] = letter
        letter.timeout = self._consumer.timer.call_after(
            conf.current().confirm_timeout, self._on_timeout, (letter,)
        )

    def _open(self) -> Any:
        """Return a channel with confirms; connect if need be."""
        if self._channel is None:
            channel: Any = self._publishing.open().channel()
            channel.confirm_select()
            amqp_internals.contain_errors(channel, self._on_closed)
            amqp_internals.on_outcome(channel, ack=self._on_ack, nack=self._on_nack, returned=self._on_return)
            self._channel = channel
        return self._channel

    def _prepared(self, letter: _Letter, channel: Any) -> Any:
        """Return the message with its reason. The broker would close the connection for headers beyond one frame."""
        prepared = dead_letters.prepared(
            letter.message,
            channel=channel,
            headers=letter.headers,
            queue=letter.queue,
            user=login(self._publishing.open()),
        )
        size, most = amqp_internals.header_size(prepared), amqp_internals.frame_max(channel)
        if size + _HEADER_ROOM > most:
            raise ValueError(f"with the reason its headers have {size} bytes, and a frame has at most {most}")
        return prepared

    def _on_ack(self, tag: int, multiple: bool) -> None:
        for letter in self._settled(tag, multiple):
            if letter.headers[dead_letters.ID] in self._returned:
                self._returned.discard(letter.headers[dead_letters.ID])
                self._reject(letter, "nothing is bound to its routing key")
            else:
                self._done(letter)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for letter in self._settled(tag, multiple):
            self._reject(letter, "the broker did not take it (is the queue full, or without its majority?)")

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        """Note that no queue is bound; RabbitMQ returns a message before it acks it."""
        self._returned.add(message.properties["application_headers"][dead_letters.ID])

    def _on_timeout(self, letter: _Letter) -> None:
        for tag, each in list(self._unconfirmed.items()):
            if each is letter:
                del self._unconfirmed[tag]
                self._reject(letter, f"no confirm came in {conf.current().confirm_timeout} s")

    def _on_closed(self, error: Exception) -> None:
        """Reject what was under way, as nobody knows which message was refused; go on with the channel, opened anew."""
        channel, under_way = self._channel, list(self._unconfirmed.values())
        self._forget_channel()
        self._channel = channel
        channel.confirm_select(nowait=True)
        for letter in under_way:
            self._reject(letter, f"{type(error).__name__}: {error}")

    def _on_lost(self, error: BaseException) -> None:
        """Reject what was under way, as nobody knows how far it came; the next letter opens another connection."""
        under_way = list(self._unconfirmed.values())
        self._forget_channel()
        for letter in under_way:
            self._reject(letter, f"the connection was lost ({type(error).__name__}: {error})")

    def _forget_channel(self) -> None:
        self._channel = None
        self._unconfirmed.clear()
        self._returned.clear()
        self._tag = 0

    def _settled(self, tag: int, multiple: bool) -> list[_Letter]:
        tags = [sent for sent in self._unconfirmed if sent <= tag] if multiple else [tag]
        return [self._unconfirmed.pop(each) for each in tags if each in self._unconfirmed]

    def _done(self, letter: _Letter) -> None:
        self._cancel_timeout(letter)
        letter.message.ack_log_error(logger, self._consumer.connection_errors)

    def _reject(self, letter: _Letter, why: str) -> None:
        self._cancel_timeout(letter)
        logger.warning(
            "dead letter in %s goes without its reason: %s",
            *(topology.dead_letter_name(letter.queue), texts.line(why)),
            extra={"context": letter.queue},
        )
        letter.message.reject_log_error(logger, self._consumer.connection_errors)

    def _cancel_timeout(self, letter: _Letter) -> None:
        if letter.timeout is not None:
            letter.timeout.cancel()
