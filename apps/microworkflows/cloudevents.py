"""The wire: CloudEvents 1.0 in JSON, with correlation, causation and W3C trace context as extension attributes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from microworkflows import texts
from microworkflows import traceparent as traces
from microworkflows.errors import InvalidCloudEventError

CONTENT_TYPE = "application/cloudevents+json"
"""Media type of one event in the structured content mode (CloudEvents 1.0, JSON Event Format, section 3)."""

ATTEMPT_HEADER = "microworkflows-attempt"
"""Header of a redelivered message: number of attempts that had failed when it was sent."""

MARK = "cutover"
"""Extension attribute that holds the mark of the event's flow (see :mod:`~microworkflows.flows`).

The name is that of the first app that marked flows. It stays, because events of any age may be under way.
"""

_KNOWN = frozenset(
    {
        *("specversion", "id", "source", "type", "time", "datacontenttype", "data"),
        *("correlationid", "causationid", "traceparent", MARK),
    }
)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The envelope of an event: its CloudEvents attributes."""

    id: UUID
    """Id of the event in every service; the idempotency key for its effects."""
    source: str
    """URI reference of the announcing context, such as ``/orders``."""
    type: str
    """Versioned type, such as ``orders.order_accepted.v1``; also the routing key."""
    time: datetime
    """Time of recording (UTC)."""
    correlation_id: str
    """Id of the flow, the same for all of its events."""
    causation_id: str | None
    """Id of the event that caused this one; None where a flow begins."""
    traceparent: str
    """W3C Trace Context."""
    mark: str | None = None
    """Mark that a guest of the core gave the flow when it began; None for a flow that is live everywhere."""

    @property
    def context(self) -> str:
        """Label of the context that announced the event."""
        return context_of(self.type)


@dataclass(frozen=True, kw_only=True)
class CloudEvent:
    """An event as it travels: attributes and payload."""

    meta: Metadata
    data: dict[str, Any]
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that this kit does not know, kept unchanged."""

    def __str__(self) -> str:
        """Return the event for a log line."""
        return texts.line(f"{self.meta.type} {self.meta.id} correlation={self.meta.correlation_id}")

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
        if self.meta.mark is not None:
            attributes[MARK] = self.meta.mark
        return attributes

    @classmethod
    def from_dict(cls, body: object) -> "CloudEvent":
        """Read a CloudEvent that anybody may have published.

        An ``id`` that is not a UUID becomes one, made from ``source`` and ``id`` (the standard requires the pair to
        be unique). Without ``correlationid`` the event begins a flow of its own.

        Raises:
            InvalidCloudEventError: a required attribute is missing, or an attribute breaks CloudEvents 1.0.
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
                traceparent=traceparent if traces.is_valid(traceparent) else traces.new(),
                mark=_optional_text(body, MARK),
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
            raise InvalidCloudEventError(f"The message is not JSON: {error}") from error
        return cls.from_dict(body)


def context_of(type_or_label: str) -> str:
    """Return the context in the type of an event or the label of a microworkflow: the part before its first dot."""
    return type_or_label.partition(".")[0]


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
