"""AMQP's verbs on the broker's folder: declare, bind, publish, take, settle."""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.virtual.exchange import DirectExchange, TopicExchange
from kombu.utils.uuid import uuid

from microworkflows.embedded import messages
from microworkflows.embedded.exchanges import Exchanges
from microworkflows.embedded.queues import FileQueue, Taken, take_back

logger = logging.getLogger(__name__)

# Each held message is an open file, of which a process may often have no more than 1024.
MOST_HELD = 512


class QoS(virtual.QoS):
    """Prefetch as in Kombu; a message is settled in its file at once, from any thread."""

    channel: "Channel"
    _delivered: Any
    _dirty: Any

    def can_consume(self) -> bool:
        return len(self._delivered) - len(self._dirty) < min(self.prefetch_count or MOST_HELD, MOST_HELD)

    def ack(self, delivery_tag: str) -> None:
        self._settle(delivery_tag, Taken.remove)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._settle(delivery_tag, self.channel.put_back if requeue else self.channel.bury)

    def _settle(self, delivery_tag: str, how: Callable[[Taken], None]) -> None:
        self.channel.settle(delivery_tag, how)
        super().ack(delivery_tag)
        self.channel.transport.make_room()


class Channel(virtual.Channel):
    """A channel of the embedded broker. It keeps nothing about queues, exchanges and bindings in memory."""

    QoS = QoS
    # Classes here; Kombu replaces them by instances in each channel.
    exchange_types: Any = {"direct": DirectExchange, "topic": TopicExchange}

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self.transport = connection  # `connection` becomes None when the channel closes; late acks still come
        self._exchanges = Exchanges(connection.folder)
        self._queues: dict[str, FileQueue] = {}

    # --- publishing

    def route(self, exchange: str, routing_key: str) -> list[str]:
        """Return the names of the queues that a message would reach; none if nobody listens.

        Raises ChannelError for an exchange that nobody declared.
        """
        if not exchange:
            return [routing_key] if self._has_queue(routing_key) else []
        declared = self._exchanges.get(exchange)
        if declared is None:
            raise _not_found(exchange, "basic_publish")
        kind = self.exchange_types[declared.kind]
        table = [kind.prepare_bind(queue, exchange, key, None) for key, queue in declared.bindings]
        return sorted(kind.lookup(table, exchange, routing_key, None))

    def basic_publish(  # type: ignore[override]  # the stubs know no transport that tells where a message went
        self, message: messages.Message, exchange: str, routing_key: str, **options: Any
    ) -> list[str]:
        """Write the message to each queue that it is routed to; return their names, none if nobody listens.

        When this returns, the message survives a power cut. Without an exchange the routing key names the
        queue, which is created if need be. Raises ChannelError for an exchange that nobody declared, and OSError
        if the disk is full or fails: then the message is in none of the queues, as far as the disk permits.
        """
        queues = self.route(exchange, routing_key) if exchange else [routing_key]
        self._inplace_augment_message(message, exchange, routing_key)
        self._put_into(queues, message)
        return queues

    # --- declaring

    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str | None = "direct",
        *args: Any,
        passive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        kind, alternate = type or "direct", (arguments or {}).get("alternate-exchange")
        exchange = exchange or f"amq.{kind}"
        if passive:
            if self._exchanges.get(exchange) is None:
                raise _not_found(exchange, "exchange_declare")
            return
        if kind not in self.exchange_types:
            text = f"NOT_IMPLEMENTED - exchange {exchange!r}: the embedded broker has direct and topic, no {kind}"
            raise _channel_error(540, text, "exchange_declare")
        has = self._exchanges.declare(exchange, kind, alternate)
        if has.kind != kind:
            text = f"PRECONDITION_FAILED - exchange {exchange!r} is of type {has.kind}, not {kind}"
            raise _channel_error(406, text, "exchange_declare")
        if has.alternate != alternate:
            text = (
                f"PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange {exchange!r}: received "
                f"{alternate!r} but current is {has.alternate!r}"
            )
            raise _channel_error(406, text, "exchange_declare")

    def exchange_delete(self, exchange: str, *args: Any, **options: Any) -> None:
        self._exchanges.delete(exchange)

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", *args: Any, **options: Any
    ) -> None:
        if not (exchange and self._exchanges.bind(exchange, routing_key or "", queue)):
            raise _not_found(exchange, "queue_bind")

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", *args: Any, **options: Any
    ) -> None:
        if exchange:
            self._exchanges.unbind(exchange, routing_key or "", queue)

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, **options: Any
    ) -> None:
        if if_empty and self._has_queue(queue) and self._size(queue):
            return
        self._delete(queue)

    def get_exchanges(self) -> list[str]:
        return self._exchanges.names()

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        declared = self._exchanges.get(exchange)
        return [(key, "", queue) for key, queue in declared.bindings] if declared else []

    def list_bindings(self) -> Generator[tuple[str, str, str], None, None]:
        return ((queue, name, key) for name in self.get_exchanges() for key, _, queue in self.get_table(name))

    # --- consuming

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> str:
        def settled_first(message: Any) -> Any:
            self.settle(message.delivery_tag, Taken.remove)
            return callback(message)

        return super().basic_consume(
            queue, no_ack, settled_first if no_ack else callback, consumer_tag, **options
        )

    def basic_get(self, queue: str, no_ack: bool = False, **options: Any) -> Any:
        message = super().basic_get(queue, no_ack=no_ack, **options)
        if message is not None and no_ack:
            self.settle(message.delivery_tag, Taken.remove)
        return message

    def settle(self, delivery_tag: str | None, how: Callable[[Taken], None]) -> None:
        """Call `how` with the message of this delivery tag, which this process then no longer holds."""
        taken = (
            self.transport.taken.pop(delivery_tag, None) if delivery_tag else None
        )  # atomic: acks come from other threads
        if taken is None:
            logger.info("delivery %s was given back when its channel closed; it comes again", delivery_tag)
            return
        try:
            how(taken)
        except BaseException:
            self.transport.taken[delivery_tag] = taken
            raise

    def put_back(self, taken: Taken) -> None:
        """Release a message: it stays at its place in the queue, for the next consumer to take."""
        taken.release()
        self._queue(taken.queue).look_again()

    def bury(self, taken: Taken, reason: str = "rejected") -> None:
        """Move a message to the dead letters of its queue."""
        message = messages.dead(taken.body(), self, queue=taken.queue, reason=reason)
        self._put_into(self._dead_letter_queues(taken.queue), message)
        taken.remove()

    def _get(self, queue: str, timeout: float | None = None) -> messages.Message:
        while (taken := self._queue(queue).take()) is not None:
            try:
                message = self._living(taken)
            except BaseException:
                taken.release()
                raise
            if message is not None:
                # A tag of its own: the copies of one message in several queues must not share one.
                tag = message["properties"]["delivery_tag"] = uuid()
                message["properties"]["delivery_info"].update(queue=queue, redelivered=taken.deliveries > 0)
                if taken.deliveries:
                    message["headers"]["x-delivery-count"] = taken.deliveries
                self.transport.taken[tag] = taken
                return message
        raise Empty

    def _living(self, taken: Taken) -> messages.Message | None:
        """Return the message; None if it went to the dead letters."""
        try:
            message = messages.decode(taken.body(), self)
        except messages.DamagedMessageError as error:
            self._give_up(taken, "damaged", str(error))
            return None
        if taken.deliveries:
            limit = self._queue(taken.queue).arguments().get("x-delivery-limit")
            if limit is not None and taken.deliveries > limit:
                self._give_up(taken, "delivery_limit", f"delivered {taken.deliveries} times")
                return None
        return message

    def _give_up(self, taken: Taken, reason: str, why: str) -> None:
        logger.error("message %s goes to the dead letters of %s: %s", taken.path.name, taken.queue, why)
        self.bury(taken, reason)

    def _dead_letter_queues(self, queue: str) -> list[str]:
        arguments = self._queue(queue).arguments()
        exchange, key = arguments.get("x-dead-letter-exchange"), arguments.get("x-dead-letter-routing-key")
        if (
            exchange
            and exchange in self._exchanges.names()
            and (routed := self.route(exchange, key or queue))
        ):
            return routed
        # Dead letters are kept: a rejected one goes to the end of its queue.
        return [key or (queue if queue.endswith(".dead") else f"{queue}.dead")]

    def _put_into(self, queues: Sequence[str], message: messages.Message) -> None:
        """Put the message into all queues or none: each new try would fill the disk with another copy."""
        written: list[Path] = []
        try:
            for queue in queues:
                written.append(self._queue(queue).put(messages.encode(message)))  # noqa: PERF401  (an error must find them)
        except BaseException:
            for path in written:
                take_back(path)
            raise

    # --- called by Kombu's own Channel

    def _put(self, queue: str, message: messages.Message, **options: Any) -> None:
        self._put_into([queue], message)

    def _restore(self, message: Any) -> None:
        self.settle(message.delivery_tag, self.put_back)

    def _size(self, queue: str) -> int:
        return len(self._queue(queue).messages())

    def _purge(self, queue: str) -> int:
        return self._queue(queue).purge()

    def _has_queue(self, queue: str, **options: Any) -> bool:
        return self._queue(queue).exists()

    def _new_queue(self, queue: str, **options: Any) -> None:
        self._queue(queue).declare(options.get("arguments"))

    def _delete(self, queue: str, *args: Any, **options: Any) -> None:
        self._exchanges.unbind_everywhere(queue)
        self._queue(queue).delete()

    def _queue(self, name: str) -> FileQueue:
        if name not in self._queues:
            self._queues[name] = FileQueue(self.transport.folder, name)
        return self._queues[name]


def _not_found(exchange: str | None, method: str) -> ChannelError:
    return _channel_error(404, f"NOT_FOUND - no exchange {exchange!r}", method)


def _channel_error(code: int, text: str, method: str) -> ChannelError:
    return ChannelError(text, (50, 10), f"Channel.{method}", code)
