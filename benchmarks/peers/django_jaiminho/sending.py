"""The function that goes through the outbox; the relay imports it by its name and calls it for every event."""

import json
import os
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
from jaiminho.send import save_to_outbox

BROKER = urlsplit(os.environ["BROKER_URL"])
PERSISTENT = 2


class Broker:
    """One connection for all that a process sends, made anew after a failure."""

    def __init__(self) -> None:
        self._channel: amqp.Channel | None = None

    def publish(self, body: str) -> None:
        try:
            message = amqp.Message(body, content_type="application/json", delivery_mode=PERSISTENT)
            self._connected().basic_publish(message, routing_key=os.environ["QUEUE"])
        except Exception:
            self._channel = None
            raise

    def _connected(self) -> amqp.Channel:
        if self._channel is None:
            connection = amqp.Connection(
                f"{BROKER.hostname}:{BROKER.port or 5672}",
                userid=unquote(BROKER.username or "guest"),
                password=unquote(BROKER.password or "guest"),
                virtual_host=unquote(BROKER.path.removeprefix("/")) or "/",
                confirm_publish=os.environ["VARIANT"] == "confirmed",
            )
            connection.connect()
            self._channel = connection.channel()
        return self._channel


broker = Broker()


@save_to_outbox
def send(event: dict[str, Any]) -> None:
    broker.publish(json.dumps(event))
