"""py-amqp's internals: each undocumented name of its channels and connections that relay and worker rely on.

Tests verify the description of each.
"""

import logging
import select
from collections.abc import Callable
from typing import Any

from amqp import spec
from amqp.exceptions import ChannelError
from amqp.serialization import GenericContent

logger = logging.getLogger(__name__)

UNREADABLE = "microworkflows-unreadable"
"""The only header of a message whose properties py-amqp cannot read; it names the error."""


def write(channel: Any, frames: bytes) -> None:
    """Write frames that were assembled elsewhere to the channel's connection."""
    connection = channel.connection
    connection.transport.write(frames)
    connection.bytes_sent += 1  # py-amqp counts writes to know when a heartbeat is due


def has_input(channel: Any) -> bool:
    """Return True, without waiting, if the broker has sent something."""
    return bool(select.select([channel.connection.sock], [], [], 0)[0])


def frame_max(channel: Any) -> int:
    """Return the largest frame in bytes, as negotiated with the broker."""
    return int(channel.connection.frame_max)


def on_outcome(
    channel: Any,
    *,
    ack: Callable[[int, bool], None],
    nack: Callable[[int, bool], None],
    returned: Callable[..., None],
) -> None:
    """Call functions with the outcomes of publishing on a confirming channel.

    ``ack`` and ``nack`` take the delivery tag, and True if it also stands for all tags before it. ``returned`` takes the
    error, exchange, routing key and message of an unroutable message.
    """
    channel.events["basic_ack"].add(ack)
    channel.events["basic_nack"].add(nack)
    channel.events["basic_return"].add(returned)


def on_blocked(channel: Any, *, blocked: Callable[[], None], unblocked: Callable[[], None]) -> None:
    """Call functions when the broker, short of memory or disk, stops to take messages in, and when it goes on."""
    channel.connection.on_blocked = lambda reason: blocked()
    channel.connection.on_unblocked = unblocked


def contain_errors(channel: Any, closed: Callable[[ChannelError], None]) -> None:
    """Call a function when the broker closes the channel by an error, instead of raising it where events are drained.

    py-amqp has opened the channel anew by then, without confirms.
    """
    close = channel._callbacks[spec.Channel.Close]  # noqa: SLF001

    def contained(*args: Any) -> None:
        try:
            close(*args)
        except ChannelError as error:
            closed(error)

    channel._callbacks[spec.Channel.Close] = contained  # noqa: SLF001


def header_size(message: Any) -> int:
    """Return the size in bytes of a message's properties and headers, which must fit into one frame."""
    return len(message._serialize_properties())  # noqa: SLF001


def keep_unreadable_properties_from_raising() -> None:
    """Let py-amqp give a message :data:`UNREADABLE` alone where it fails on its properties: no UTF-8, endless nesting.

    It reads them while it assembles frames, so the exception would end the connection, again at each delivery.
    """
    contents: Any = GenericContent
    load = contents._load_properties  # noqa: SLF001
    if getattr(load, "survives", False):
        return

    def load_or_leave(content: GenericContent, class_id: int, buffer: bytes, offset: int) -> int:
        try:
            result: int = load(content, class_id, buffer, offset)
        except Exception as error:  # whatever a publisher sent
            logger.warning("a message has properties that cannot be read: %s", type(error).__name__)
            content.properties = {"application_headers": {UNREADABLE: type(error).__name__}}
            return offset
        return result

    load_or_leave.survives = True  # type: ignore[attr-defined]
    contents._load_properties = load_or_leave  # noqa: SLF001


def as_it_came(kind: Any, *, applies: Callable[[Any], bool] = lambda raw: True) -> Any:
    """Return a class of Kombu's messages that does not decompress those for which ``applies`` is True of the raw message."""

    class AsItCame(kind):  # type: ignore[misc]  # the transport's own
        def __init__(self, raw: Any, *args: Any, **options: Any) -> None:
            compression = _headers(raw).pop("compression", None) if applies(raw) else None
            super().__init__(raw, *args, **options)
            if compression is not None:
                self.headers["compression"] = compression

    return AsItCame


def _headers(raw: Any) -> dict[str, Any]:
    """Return the headers of a message as a transport delivers it: py-amqp's, or a dictionary of the embedded broker."""
    headers = raw["headers"] if isinstance(raw, dict) else raw.properties.get("application_headers")
    return headers or {}
