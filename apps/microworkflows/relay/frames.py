"""AMQP 0-9-1 on the wire: the frames of ``basic.publish``, assembled at once for many messages.

py-amqp packs, locks and sends each message by itself, which was most of the relay's cost of an event.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from uuid import UUID

_FRAME = Struct(">BHI")
_METHOD, _HEADER, _BODY, _END = 1, 2, 3, b"\xce"
_OVERHEAD = _FRAME.size + len(_END)

_PUBLISH = Struct(">HHH")
_BASIC, _BASIC_PUBLISH = 60, 40
_MANDATORY = b"\x01"

_CONTENT = Struct(">HHQH")
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID, _USER_ID = (
    1 << 15,
    1 << 14,
    1 << 13,
    1 << 12,
    1 << 7,
    1 << 4,
)
_FLAGS = _CONTENT_TYPE | _CONTENT_ENCODING | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
_PERSISTENT = b"\x02"


def publish(
    *, channel: int, exchange: str, content_type: str, frame_max: int, user_id: str = ""
) -> Callable[..., bytes]:
    """Return a function that assembles the frames of one message: persistent, mandatory, in UTF-8.

    Args:
        channel: Number of the channel.
        exchange: Name of the exchange to publish to.
        content_type: Media type of the bodies.
        frame_max: Largest frame in bytes, as negotiated with the broker; a longer body travels in several.
        user_id: Name of the connection's user, which the broker compares with the login; empty to send none.

    The function takes ``body``, ``routing_key``, ``message_id`` and ``headers``, a table of whole numbers and texts.

    Raises:
        ValueError: a name is longer than the 255 bytes of AMQP's short string (raised by the function as well).
    """
    longest = frame_max - _OVERHEAD
    start = _short(content_type) + _short("utf-8")
    flags, end = (_FLAGS | _USER_ID, _short(user_id)) if user_id else (_FLAGS, b"")

    @lru_cache(maxsize=1024)
    def method(routing_key: str) -> bytes:
        arguments = _short(exchange) + _short(routing_key) + _MANDATORY
        return _frame(_METHOD, channel, _PUBLISH.pack(_BASIC, _BASIC_PUBLISH, 0) + arguments)

    def frames(*, body: str, routing_key: str, message_id: UUID, headers: dict[str, int | str]) -> bytes:
        content = body.encode()
        properties = start + _table(headers) + _PERSISTENT + _short(str(message_id)) + end
        head = method(routing_key) + _frame(
            _HEADER, channel, _CONTENT.pack(_BASIC, 0, len(content), flags) + properties
        )
        if 0 < len(content) <= longest:
            return head + _frame(_BODY, channel, content)
        parts = (content[at : at + longest] for at in range(0, len(content), longest))
        return head + b"".join(_frame(_BODY, channel, part) for part in parts)

    return frames


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _END


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"{text!r} is {len(encoded)} bytes long; AMQP 0-9-1 allows names of 255.")
    return bytes([len(encoded)]) + encoded


def _table(headers: dict[str, int | str]) -> bytes:
    """Return a field table."""
    fields = b"".join(_short(name) + _field(value) for name, value in headers.items())
    return len(fields).to_bytes(4, "big") + fields


def _field(value: int | str) -> bytes:
    """Return a long string (``S``), or a signed number of 64 bits (``l``, which RabbitMQ and its clients understand)."""
    if isinstance(value, int):
        return b"l" + value.to_bytes(8, "big", signed=True)
    encoded = value.encode()
    return b"S" + len(encoded).to_bytes(4, "big") + encoded
