"""The contents of a message file: Kombu's message as JSON, with further headers once it is a dead letter."""

import base64
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import dumps, loads

Message = dict[str, Any]


class DamagedMessageError(Exception):
    """The file does not hold a message."""


def encode(message: Message) -> bytes:
    """Return the contents of a message file."""
    content: str = dumps(message)
    return content.encode()


def decode(body: bytes, channel: virtual.Channel) -> Message:
    """Return the message that `encode` wrote, checked so that no consumer fails on it.

    Raises DamagedMessageError for anything else.
    """
    try:
        message: Message = loads(body)
        message["properties"]["delivery_tag"] = ""
        message["headers"] = dict(message["headers"])
        message["properties"]["delivery_info"] = dict(message["properties"]["delivery_info"])
        plain = {name: value for name, value in message["headers"].items() if name != "compression"}
        channel.Message({**message, "headers": plain}, channel=channel)
    except Exception as error:  # anything may be in a damaged file, and none may stop a worker
        raise DamagedMessageError(repr(error)) from error
    return message


def dead(body: bytes, channel: virtual.Channel, *, queue: str, reason: str) -> Message:
    """Return the message as a dead letter, with RabbitMQ's headers for the queue and the reason.

    A damaged message becomes one that has its bytes as a body.
    """
    try:
        message = decode(body, channel)
    except DamagedMessageError:
        message = {
            "body": base64.b64encode(body).decode(),
            "content-type": "application/octet-stream",
            "content-encoding": "binary",
            "headers": {},
            "properties": {
                "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": queue},
            },
        }
    message["headers"].setdefault("x-first-death-queue", queue)
    message["headers"].setdefault("x-first-death-reason", reason)
    return message
