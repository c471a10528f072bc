"""Looking into a broker's queues, and publishing what a well-behaved publisher would not."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, NamedTuple, cast

import amqp
from kombu import Connection

from microworkflows import topology
from microworkflows.cloudevents import CONTENT_TYPE
from tests.integration.support.waiting import eventually


class Seen(NamedTuple):
    """A message as it lay in a queue."""

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any]

    @property
    def event(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))

    @property
    def number(self) -> int:
        return int(self.event["data"]["number"])


class Broker:
    """One virtual host, seen through a connection of its own for each call."""

    def __init__(self, url: str) -> None:
        self.url = url

    def declare(self) -> None:
        """Declare what the kit declares."""
        with self.channel() as channel:
            topology.declare(channel)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """Yield a channel (py-amqp's, of which Kombu's stubs know nothing) on a connection of its own."""
        with Connection(self.url, connect_timeout=10) as connection:
            connection.ensure_connection(max_retries=5, interval_start=1)
            yield connection.channel()

    def count(self, queue: str) -> int:
        """Return how many messages are ready in a queue; -1 if there is no such queue."""
        with self.channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except amqp.NotFound:
                return -1

    def take(self, queue: str, count: int, *, timeout: float = 20, quiet: float = 0.3) -> list[Seen]:
        """Take at least so many messages, and what still comes until it is quiet; fail if none comes for too long."""
        seen: list[Seen] = []
        with self.channel() as channel:

            def keep(message: amqp.Message) -> None:
                body = message.body if isinstance(message.body, bytes) else message.body.encode()
                seen.append(Seen(body, message.properties, message.headers or {}))

            channel.basic_consume(queue, callback=keep, no_ack=True)
            with suppress(TimeoutError):
                while True:
                    channel.connection.drain_events(timeout=quiet if len(seen) >= count else timeout)
        assert len(seen) >= count, (
            f"{queue} gave {len(seen)} of {count} messages, and then none in {timeout} s"
        )
        return seen

    def dead(self, count: int = 1, *, queue: str = "probe.dead") -> list[Seen]:
        """Wait for so many dead letters, neither more nor fewer, and take them."""
        eventually(lambda: self.count(queue) == count, what=f"{count} messages in {queue}")
        return self.take(queue, count)

    def publish(
        self,
        body: str | bytes,
        *,
        queue: str = "probe",
        content_type: str | None = CONTENT_TYPE,
        times: int = 1,
        exchange: str = "",
        headers: dict[str, Any] | None = None,
        **properties: Any,
    ) -> None:
        """Publish straight into a queue, and wait for the broker's confirm."""
        if content_type is not None:
            properties["content_type"] = content_type
        with self.channel() as channel:
            for _ in range(times):
                message = amqp.Message(body, application_headers=headers or {}, delivery_mode=2, **properties)
                channel.basic_publish_confirm(message, exchange=exchange, routing_key=queue, mandatory=True)

    @contextmanager
    def publishing(self, *, queue: str = "probe", timeout: float = 20) -> Iterator[Callable[..., None]]:
        """Yield what publishes straight into a queue and does not wait; the broker's confirms are waited for at the end.

        They must be: a quorum queue loses what it has not written yet when the publisher's channel is closed.
        """
        tags = count(1)
        unconfirmed: set[int] = set()

        def settle(tag: int, multiple: bool) -> None:
            unconfirmed.difference_update(range(1, tag + 1) if multiple else [tag])

        with self.channel() as channel:
            channel.confirm_select()
            channel.events["basic_ack"].add(settle)

            def publish(
                body: str | bytes,
                *,
                content_type: str = CONTENT_TYPE,
                queue: str = queue,
                **properties: Any,
            ) -> None:
                unconfirmed.add(next(tags))
                message = amqp.Message(body, content_type=content_type, delivery_mode=2, **properties)
                channel.basic_publish(message, routing_key=queue, mandatory=True)

            yield publish
            with suppress(TimeoutError):
                while unconfirmed:
                    channel.connection.drain_events(timeout=timeout)
            assert not unconfirmed, (
                f"{queue} confirmed all but {len(unconfirmed)}, and then none in {timeout} s"
            )


def first_seen(messages: Iterable[Seen]) -> list[int]:
    """Return the numbers of the events in the order in which each was seen first: duplicates change nothing."""
    return list(dict.fromkeys(message.number for message in messages))
