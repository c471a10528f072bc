"""The wire: a message whose AMQP properties cannot be read is delivered without them, instead of ending the worker.

py-amqp reads the properties before anybody knows which message they belong to. What it raises there (text that is not UTF-8,
tables nested too deeply, times out of range) would reach the event loop, and end it: again at each delivery, and for every
message that was prefetched.
"""

from collections.abc import Callable
from struct import pack
from typing import Any

from amqp.basic_message import Message as RawMessage
from amqp.method_framing import frame_handler
from kombu import Connection, Message

from microworkflows.errors import InvalidCloudEventError

_Frame = tuple[int, int, Any]
_HEADER = 2
"""Type of the frame with the size of a message's body, and its properties."""
_SIZES = 12
"""Bytes of such a frame before its properties."""
_CONTENT_TYPE_ALONE = 1 << 15
_UNREADABLE = "unreadable properties: "
_LONGEST = 200


def tolerate(connection: Connection) -> None:
    """Make a connection that is not open yet deliver messages with unreadable properties."""
    if connection.transport.driver_name == "py-amqp":
        connection.transport_options = {
            **(connection.transport_options or {}),
            "frame_handler": tolerant_frame_handler,
        }


def raise_if_unreadable(message: Message) -> None:
    """Raise if the properties of a message could not be read.

    Raises:
        InvalidCloudEventError: they could not; it says why.
    """
    content_type = message.content_type
    if isinstance(content_type, str) and content_type.startswith(_UNREADABLE):
        raise InvalidCloudEventError(
            f"Its AMQP properties cannot be read: {content_type.removeprefix(_UNREADABLE)}."
        )


def tolerant_frame_handler(connection: Any, callback: Callable[..., Any]) -> Callable[[_Frame], Any]:
    """Return py-amqp's handler of frames, which gets other properties in place of those that it cannot read."""
    handle = frame_handler(connection, callback)

    def on_frame(frame: _Frame) -> Any:
        kind, channel, content = frame
        if kind != _HEADER:
            return handle(frame)
        try:
            if any(content[4:_SIZES]):
                return handle(frame)
            raw: Any = RawMessage()
            raw.inbound_header(content)  # of an empty message; its handler also delivers it
        except Exception as error:
            return handle((kind, channel, bytes(content[:_SIZES]) + _properties(error)))
        return handle(frame)

    return on_frame


def _properties(error: Exception) -> bytes:
    """Return properties that hold nothing but the reason, as content type."""
    text = f"{_UNREADABLE}{type(error).__name__}: {error}".encode()[:_LONGEST]
    return pack(">HB", _CONTENT_TYPE_ALONE, len(text)) + text
