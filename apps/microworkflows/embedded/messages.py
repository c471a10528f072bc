"""What stands in a message file: Kombu's message as JSON, and what becomes of one that dies."""

import base64
from typing import Any

from kombu.transport import virtual
from kombu.utils.json import dumps, loads

Message = dict[str, Any]


class DamagedMessageError(Exception):
    """The file holds no message."""


def encode(message: Message) -> bytes:
    """Return the content of a message file."""
    content: str = dumps(message)
    return content.encode()


def decode(body: bytes, channel: virtual.Channel) -> Message:
    """Return the message that `encode` wrote, checked so that no consumer stumbles over it.

    Raises DamagedMessageError for anything else.
    """
    try:
        message: Message = loads(body)
        message["properties"]["delivery_tag"] = ""
        message["headers"] = dict(message["headers"])
        message["properties"]["delivery_info"] = dict(message["properties"]["delivery_info"])
        channel.Message(message, channel=channel)
    except Exception as error:  # anything may be in a damaged file, and none may stop a worker
        raise DamagedMessageError(repr(error)) from error
    return message


def dead(body: bytes, channel: virtual.Channel, *, queue: str, reason: str) -> Message:
    """Return the message for the dead letters, with RabbitMQ's headers for where it died and of what.

    What is no message becomes one that has those bytes for a body.
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
