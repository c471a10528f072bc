"""The door of an event queue: one CloudEvent within the kit's bounds comes in as a call of the receiving task.

All else is refused with a reason. A message brings nothing along but its event: what a publisher wrote into its headers
and properties would otherwise tell Celery to delay it, to let it expire, or to run something else.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kombu import Message

from microworkflows import bounds, topology, trust
from microworkflows.cloudevents import ATTEMPT_HEADER, CONTENT_TYPE, LABEL_HEADER, CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.models import message_id
from microworkflows.relay import amqp_internals
from microworkflows.worker import celery_internals, wire
from microworkflows.worker.names import TASK

_BATCH = "application/cloudevents-batch+json"
_BINARY = ("ce-", "cloudEvents:", "cloudEvents_")
"""Prefixes of an attribute's header in the binary content mode, by the CloudEvents bindings for RabbitMQ and AMQP."""
_LAST_MILLISECOND = 253_402_300_800_000
"""Milliseconds from 1970 to the year 10,000."""
_LONGEST_NAME = 255


def admit(message: Message, *, queue: str) -> None:
    """Let a CloudEvent in: the message's payload becomes a call of the receiving task for this queue.

    Raises:
        InvalidCloudEventError: the message is something else; one with a ``task`` header could call any task.
    """
    headers: dict[str, Any] = message.headers or {}
    if amqp_internals.UNREADABLE in headers:
        raise InvalidCloudEventError(
            f"Its properties or headers cannot be read: {headers[amqp_internals.UNREADABLE]}."
        )
    if "task" in headers:
        raise InvalidCloudEventError(
            "A Celery task was sent to an event queue; send tasks to queues of their own."
        )
    if "compression" in headers:
        raise InvalidCloudEventError("The message is compressed; the door lets in plain events only.")
    if not message.body:
        raise InvalidCloudEventError("The message is empty.")
    info = message.delivery_info
    # The queue's own relay sends retries by the queue's own key; another publisher's attempts and labels mean nothing.
    is_brought_back = info.get("routing_key") == topology.name(queue)
    attempt = _whole(headers.get(ATTEMPT_HEADER)) if is_brought_back else None
    label = _name(headers.get(LABEL_HEADER)) if attempt is not None else None
    event = _read(message, message.body, headers, is_retry=attempt is not None)
    trust.check(message, event_type=event.meta.type, source=event.meta.source, queue=queue)
    call: dict[str, Any] = {"queue": queue, "attempt": attempt}
    if label is not None:
        call["label"] = label
    # A first delivery has no count but one that its publisher made up; later the broker overwrites that.
    if (
        info.get("redelivered")
        and (_whole(headers.get(topology.DELIVERY_COUNT)) or 0) >= topology.DELIVERY_LIMIT
    ):
        call["last_delivery"] = True
    wire.strip(message)
    celery_internals.set_payload(
        message,
        {
            "task": TASK,
            "id": message_id(queue, event.meta.id),
            "args": [event.to_dict()],
            "kwargs": call,
            "shadow": event.meta.type,
            "argsrepr": f"({event.meta.type} {event.meta.id})",
            "kwargsrepr": "{}",
        },
    )


def _read(message: Message, body: str | bytes, headers: Mapping[str, Any], *, is_retry: bool) -> CloudEvent:
    """Read the event of a message, in the structured or the binary content mode."""
    media_type, _, parameters = str(message.content_type or "").partition(";")
    media_type = media_type.strip().lower()
    if media_type == CONTENT_TYPE:
        charset = parameters.lower().replace('"', "").partition("charset=")[2].strip()
        if charset not in ("", "utf-8", "us-ascii"):
            raise InvalidCloudEventError(f"The charset is {bounds.shown(charset)}; JSON is UTF-8 (RFC 8259).")
        return CloudEvent.from_json(body, is_retry=is_retry)
    if media_type == _BATCH:
        raise InvalidCloudEventError(
            "The message is a batch; send each event by itself: each is acknowledged, retried and parked by itself."
        )
    if any(name.startswith(_BINARY) for name in headers):
        return _read_binary(message, body, headers)
    raise InvalidCloudEventError(
        f"The content type is {bounds.shown(message.content_type)}, and no header is an attribute of a CloudEvent. Events are "
        f"{CONTENT_TYPE}, or JSON beside headers such as {_BINARY[0]}id."
    )


def _read_binary(message: Message, body: str | bytes, headers: Mapping[str, Any]) -> CloudEvent:
    attributes: dict[str, Any] = {}
    for header, value in headers.items():
        prefix = next((each for each in _BINARY if header.startswith(each)), None)
        if prefix is None:
            continue
        name = header.removeprefix(prefix)
        if name in attributes or name in ("data", "datacontenttype"):
            raise InvalidCloudEventError(
                f"The headers give {bounds.shown(name)} twice, or in the wrong place."
            )
        attributes[name] = _attribute(name, value)
    if message.content_type is not None:
        attributes["datacontenttype"] = message.content_type
    return CloudEvent.from_outside({**attributes, "data": bounds.parse(body)})


def _attribute(name: str, value: Any) -> Any:
    """Return the value of a header as JSON would have it."""
    if isinstance(value, datetime):  # AMQP 0-9-1: a timestamp, in UTC
        return value.replace(tzinfo=None).isoformat() + "Z"
    if name == "time" and _whole(value, below=_LAST_MILLISECOND) is not None:  # AMQP 1.0: in milliseconds
        return datetime.fromtimestamp(value / 1000, tz=UTC).isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidCloudEventError(f"{bounds.shown(name)} is not UTF-8.") from None
    return value


def _whole(value: object, *, below: int = 2**31) -> int | None:
    """Return a header that must be a whole number from 0; None for anything else."""
    return value if type(value) is int and 0 <= value < below else None


def _name(value: object) -> str | None:
    """Return a header that must be a name; None for anything else."""
    is_name = isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
    return str(value) if is_name else None
