"""The wire: CloudEvents 1.0 in JSON, with correlation, causation and W3C trace context as extension attributes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from microworkflows import stamps, tracing
from microworkflows.errors import InvalidCloudEventError
from microworkflows.stamps import UNSTAMPED, Stamp

CONTENT_TYPE = "application/cloudevents+json"
"""Media type of one event in the structured content mode (CloudEvents 1.0, JSON Event Format, section 3)."""

ATTEMPT_HEADER = "microworkflows-attempt"
"""Header of a redelivered message: how many attempts had failed when it was sent."""


_KNOWN = frozenset(
    {
        *("specversion", "id", "source", "type", "time", "datacontenttype", "data"),
        *("correlationid", "causationid", "traceparent", stamps.ATTRIBUTE),
    }
)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the envelope says of an event: its CloudEvents attributes."""

    id: UUID
    """Identifies the event everywhere; the idempotency key for what it brings about."""
    source: str
    """URI reference of the announcing context, such as ``/orders``."""
    type: str
    """Versioned type, such as ``orders.order_accepted.v1``; also the routing key."""
    time: datetime
    """When it was recorded (UTC)."""
    correlation_id: str
    """The same for all events of one flow."""
    causation_id: str | None
    """Id of the event that caused this one; None where a flow begins."""
    traceparent: str
    """W3C Trace Context."""
    stamp: Stamp = UNSTAMPED
    """Which contexts' steps a monolith does in this flow, while it is being broken apart."""


@dataclass(frozen=True, kw_only=True)
class CloudEvent:
    """An event as it travels: attributes and payload."""

    meta: Metadata
    data: dict[str, Any]
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that this kit does not know, kept as they came."""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the structured content mode."""
        attributes = {
            **self.extensions,
            "specversion": "1.0",
            "id": str(self.meta.id),
            "source": self.meta.source,
            "type": self.meta.type,
            "time": self.meta.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "correlationid": self.meta.correlation_id,
            "traceparent": self.meta.traceparent,
            "data": self.data,
        }
        if self.meta.causation_id is not None:
            attributes["causationid"] = self.meta.causation_id
        if self.meta.stamp:
            attributes[stamps.ATTRIBUTE] = str(self.meta.stamp)
        return attributes

    @classmethod
    def from_dict(cls, body: object) -> "CloudEvent":
        """Read a CloudEvent that anybody may have published.

        An ``id`` that is no UUID becomes one, made from ``source`` and ``id`` (which are unique together, by
        the standard). Without ``correlationid`` the event begins a flow of its own.

        Raises:
            InvalidCloudEventError: required attributes are missing or not what CloudEvents 1.0 says.
        """
        if not isinstance(body, dict):
            raise InvalidCloudEventError(f"A CloudEvent is a JSON object; this is {type(body).__name__}.")
        if body.get("specversion") != "1.0":
            raise InvalidCloudEventError(
                f"specversion is {body.get('specversion')!r}; this kit reads CloudEvents 1.0 only."
            )
        source, event_type, raw_id = (_text(body, name) for name in ("source", "type", "id"))
        content_type = body.get("datacontenttype", "application/json")
        if not isinstance(content_type, str) or not content_type.split(";")[0].strip().endswith("json"):
            raise InvalidCloudEventError(f"datacontenttype is {content_type!r}; payloads are JSON.")
        data = body.get("data")
        if not isinstance(data, dict):
            raise InvalidCloudEventError(f"data is {type(data).__name__}; a payload is a JSON object.")
        event_id = _uuid(raw_id, source)
        traceparent = body.get("traceparent")
        return cls(
            meta=Metadata(
                id=event_id,
                source=source,
                type=event_type,
                time=_time(body.get("time")),
                correlation_id=_optional_text(body, "correlationid") or str(event_id),
                causation_id=_optional_text(body, "causationid"),
                traceparent=traceparent if tracing.is_traceparent(traceparent) else tracing.new_traceparent(),
                stamp=_stamp(body),
            ),
            data=data,
            extensions={name: value for name, value in body.items() if name not in _KNOWN},
        )

    @classmethod
    def from_json(cls, raw: str | bytes) -> "CloudEvent":
        """Read a CloudEvent from the text of a message; raises as :meth:`from_dict` does."""
        try:
            body = json.loads(raw)
        except (ValueError, UnicodeDecodeError) as error:
            raise InvalidCloudEventError(f"The message is no JSON: {error}") from error
        return cls.from_dict(body)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidCloudEventError(f"{name} is {value!r}; CloudEvents 1.0 requires a non-empty string.")
    return value


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _uuid(raw_id: str, source: str) -> UUID:
    try:
        return UUID(raw_id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{source}#{raw_id}")


def _time(value: object) -> datetime:
    if value is None:
        return datetime.now(tz=UTC)
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidCloudEventError(f"time is {value!r}; it must be a timestamp of RFC 3339.") from error
    if time.tzinfo is None:
        raise InvalidCloudEventError(f"time is {value!r}; RFC 3339 requires an offset, such as Z.")
    return time.astimezone(UTC)


def _stamp(body: dict[str, Any]) -> Stamp:
    try:
        return Stamp.parse(_optional_text(body, stamps.ATTRIBUTE))
    except ValueError as error:
        raise InvalidCloudEventError(str(error)) from error
