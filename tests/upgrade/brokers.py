"""A broker's state as text: its queues and the messages in them, put aside while orders are frozen, restored for tests."""

import json
import subprocess
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import amqp
from kombu import Connection

DELIVERY_COUNT = "x-delivery-count"


class Broker(Protocol):
    """What freezing and tests need of a broker."""

    def count(self, queue: str) -> int:
        """Return how many messages a queue has ready."""

    def put_aside(self) -> None:
        """Take all messages out of all queues, and keep them."""

    def frozen(self) -> dict[str, Any]:
        """Return the queues as they are declared, and the messages that were put aside."""

    def restore(self, frozen: dict[str, Any]) -> None:
        """Declare the queues of an empty broker as they were, and put the messages into them."""


def of(url: str) -> Broker:
    """Return the broker at a URL."""
    return EmbeddedBroker(Path(urlsplit(url).path)) if url.startswith("embedded:") else RabbitMQ(url)


class EmbeddedBroker:
    """A folder; its files hold all there is, how often a message was delivered included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside: dict[str, str] = {}

    def count(self, queue: str) -> int:
        return len(list(self._messages(queue)))

    def put_aside(self) -> None:
        for path in self._messages("*"):
            self._aside[self._name(path)] = path.read_text()
            path.unlink()

    def frozen(self) -> dict[str, Any]:
        declared = [*self._folder.glob("bindings/*.json"), *self._folder.glob("queues/*/.arguments.json")]
        texts = {self._name(path): path.read_text() for path in declared}
        return dict(sorted({**texts, **self._aside}.items()))

    def restore(self, frozen: dict[str, Any]) -> None:
        for name, text in frozen.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _messages(self, queue: str) -> Iterable[Path]:
        return (path for path in self._folder.glob(f"queues/{queue}/*.json") if path.name[0] != ".")

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


class RabbitMQ:
    """A virtual host."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._aside: list[dict[str, Any]] = []

    @cached_property
    def _queues(self) -> list[str]:
        return [one["name"] for one in self._list("queues", "name")]

    def count(self, queue: str) -> int:
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            return int(channel.queue_declare(queue, passive=True).message_count)

    def put_aside(self) -> None:
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            for queue in self._queues:
                while (message := channel.basic_get(queue, no_ack=True)) is not None:
                    self._aside.append(_kept(queue, message))

    def frozen(self) -> dict[str, Any]:
        return {
            "exchanges": [
                {"exchange": one["name"], "type": one["type"], "durable": one["durable"]}
                for one in self._list("exchanges", "name", "type", "durable")
                if one["name"] and not one["name"].startswith("amq.")
            ],
            "queues": [
                {
                    "queue": one["name"],
                    "durable": one["durable"],
                    "arguments": {name: value for name, _, value in one["arguments"]},
                }
                for one in sorted(
                    self._list("queues", "name", "durable", "arguments"), key=lambda one: str(one["name"])
                )
            ],
            "bindings": sorted(
                (
                    {
                        "queue": one["destination_name"],
                        "exchange": one["source_name"],
                        "routing_key": one["routing_key"],
                    }
                    for one in self._list("bindings")
                    if one["source_name"]
                ),
                key=lambda one: [*one.values()],
            ),
            "messages": self._aside,
        }

    def restore(self, frozen: dict[str, Any]) -> None:
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            for exchange in frozen["exchanges"]:
                channel.exchange_declare(**exchange, auto_delete=False)
            for queue in frozen["queues"]:
                channel.queue_declare(**queue, auto_delete=False)
            self._restore_delivered(connection, frozen["messages"])
            for message in frozen["messages"]:
                if not message["deliveries"]:
                    _publish(channel, message)
            for binding in frozen["bindings"]:
                channel.queue_bind(**binding)

    def clear(self, frozen: dict[str, Any]) -> None:
        """Delete what was restored."""
        with Connection(self._url) as connection:
            channel: Any = connection.channel()
            for queue in frozen["queues"]:
                channel.queue_delete(queue["queue"])
            for exchange in frozen["exchanges"]:
                channel.exchange_delete(exchange["exchange"])

    def _restore_delivered(self, connection: Connection, messages: list[dict[str, Any]]) -> None:
        """Put those messages that were delivered in vain into their queues, and deliver them so often in vain.

        The broker counts for itself. The one with the highest count is first; each round takes all that are there.
        """
        there: list[dict[str, Any]] = []
        for count in range(max(message["deliveries"] for message in messages), 0, -1):
            channel: Any = connection.channel()
            for message in messages:
                if message["deliveries"] == count:
                    _publish(channel, message)
                    there.append(message)
            for message in there:
                while channel.basic_get(message["queue"]) is None:
                    pass
            channel.close()

    def _list(self, what: str, *columns: str) -> list[dict[str, Any]]:
        vhost = urlsplit(self._url).path.removeprefix("/")
        command = [
            "rabbitmqctl",
            "--quiet",
            "--vhost",
            vhost,
            f"list_{what}",
            *columns,
            "--formatter",
            "json",
        ]
        listing: list[dict[str, Any]] = json.loads(subprocess.check_output(command))
        return listing


def _kept(queue: str, message: amqp.Message) -> dict[str, Any]:
    properties: dict[str, Any] = dict(message.properties)
    headers = {**properties.pop("application_headers", {})}
    return {
        "queue": queue,
        "exchange": message.delivery_info["exchange"],
        "routing_key": message.delivery_info["routing_key"],
        "deliveries": headers.pop(DELIVERY_COUNT, 0),
        "properties": properties,
        "headers": headers,
        "body": message.body if isinstance(message.body, str) else message.body.decode(),
    }


def _publish(channel: Any, message: dict[str, Any]) -> None:
    """Publish a message by the exchange and routing key that it came by, to its queue alone."""
    way = {name: message[name] for name in ("exchange", "routing_key")}
    headers = {**message["headers"]}
    if "x-death" in headers:
        headers["x-death"] = [
            {**death, "time": datetime.fromisoformat(death["time"])} for death in headers["x-death"]
        ]
    if way["exchange"]:
        channel.queue_bind(message["queue"], **way)
    content = amqp.Message(message["body"], application_headers=headers, **message["properties"])
    channel.basic_publish_confirm(content, **way, mandatory=True)
    if way["exchange"]:
        channel.queue_unbind(message["queue"], **way)
