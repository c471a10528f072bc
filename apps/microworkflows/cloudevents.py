"""The wire: CloudEvents 1.0 in JSON, with correlation, causation and W3C trace context as extension attributes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from microworkflows import bounds, texts
from microworkflows import traceparent as traces
from microworkflows.errors import InvalidCloudEventError, InvalidSubjectError
from microworkflows.subjects import LONGEST_NAME, Subject

CONTENT_TYPE = "application/cloudevents+json"
"""Media type of one event in the structured content mode (CloudEvents 1.0, JSON Event Format, section 3)."""

ATTEMPT_HEADER = "microworkflows-attempt"
"""Header of a redelivered message: number of attempts that had failed when it was sent."""
LABEL_HEADER = "microworkflows-label"
"""Header of a redelivered message: label of the microworkflow that is to try again."""

MARK = "microworkflowsmark"
"""Extension attribute that holds the mark of the event's flow (see :mod:`~microworkflows.flows`)."""

FORMER_MARK = "cutover"
"""Name of :data:`MARK` for kit 0.1. Both are written, so that its workers may run beside this one's."""

HOPS = "microworkflowshops"
"""Extension attribute: the number of events that led to this one, each causing the next; left out where a flow begins."""

AS_OF = "microworkflowsasof"
"""Extension attribute: time as of which an event of the past is true; left out for what happens now."""

TIMER = "microworkflowstimer"
"""Extension attribute: ``true`` for an event that was recorded before its ``time``, to be sent then; left out for all others."""

ERASED = "microworkflowserased"
"""Extension attribute: time at which personal data was erased from the event as a table keeps it; it is never handled again."""

KIND = "microworkflowskind"
"""Extension attribute: kind of the object that the event's flow is about (see :mod:`~microworkflows.subjects`)."""
KEY = "microworkflowskey"
"""Extension attribute: key of that object among those of its kind."""
NAME = "microworkflowsname"
"""Extension attribute: name of that object for people; left out if it has none."""

FACT = "factid"
"""Extension attribute of an event that was recorded in several versions: id of the oldest one, by which all are one fact."""
FACT_TYPES = "facttypes"
"""Extension attribute beside :data:`FACT`: the types of these versions, the newest first, with spaces between."""

TRACESTATE = "tracestate"
"""Extension attribute (CloudEvents, Distributed Tracing): what tracing systems add to the ``traceparent``; the core only keeps it."""

_KNOWN = frozenset(
    {
        *("specversion", "id", "source", "type", "time", "datacontenttype", "data"),
        *("correlationid", "causationid", "traceparent", KIND, KEY, NAME),
    }
)
_JSON_TYPE = re.compile(r"[!-~]+/(?:[!-~]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_MARKS = (MARK, FORMER_MARK)
_OWN = (*_MARKS, HOPS, AS_OF, TIMER, FACT, FACT_TYPES)
"""Attributes that are believed in the events of contexts only."""


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
    """Time of recording; of a timer, the time at which it is due (UTC)."""
    correlation_id: str
    """Id of the flow, the same for all of its events."""
    causation_id: str | None
    """Id of the event that caused this one; None where a flow begins."""
    traceparent: str
    """W3C Trace Context."""
    subject: Subject | None = None
    """The object that the flow is about; None if nothing says so."""
    mark: str | None = None
    """Mark that a guest of the core gave the flow when it began; None for a flow that is live everywhere."""
    hops: int = 0
    """Number of events that led to this one, each causing the next."""
    as_of: datetime | None = None
    """Time (UTC) as of which an event of the past is true, long before :attr:`time`; None for what happens now."""
    is_timer: bool = False
    """True if it was recorded before :attr:`time`, at which it was to be sent."""
    versions: tuple[str, ...] = ()
    """Types under which the fact was recorded, the newest first; empty if there is one. They share :attr:`id`, the oldest one's."""
    original_id: str | None = None
    """Attribute ``id`` as its producer wrote it; None where it is :attr:`id` itself, as for each context's events but newer versions."""
    former_id: UUID | None = None
    """Id under which kit 0.1 kept this event, where it is another."""

    @property
    def context(self) -> str:
        """Label of the context that announced the event."""
        return context_of(self.type)

    @property
    def own_id(self) -> UUID:
        """Id that this version of a context's event has for itself, in the outbox."""
        return UUID(self.original_id) if self.versions and self.original_id else self.id

    @property
    def is_newest(self) -> bool:
        """True unless the fact was recorded in a newer version, too."""
        return not self.versions or self.versions[0] == self.type


@dataclass(frozen=True, kw_only=True)
class CloudEvent:
    """An event as it travels: attributes and payload."""

    meta: Metadata
    # It may hold sensitive values, and error trackers collect the repr() of local variables.
    data: dict[str, Any] = field(repr=False)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that this kit does not know, kept unchanged."""
    unless: tuple[str, ...] = ()
    """Types of the events that cancel a timer, for the outbox alone: they do not travel."""

    def __str__(self) -> str:
        """Return the event for a log line."""
        subject = self.meta.subject
        about = f" about={subject.name!r}" if subject and subject.name else ""
        return texts.line(f"{self.meta.type} {self.meta.id} correlation={self.meta.correlation_id}{about}")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the structured content mode."""
        attributes = {
            **self.extensions,
            "specversion": "1.0",
            "id": self.meta.original_id or str(self.meta.id),
            "source": self.meta.source,
            "type": self.meta.type,
            "time": _text_of(self.meta.time),
            "datacontenttype": "application/json",
            "correlationid": self.meta.correlation_id,
            "traceparent": self.meta.traceparent,
            "data": self.data,
        }
        if self.meta.causation_id is not None:
            attributes["causationid"] = self.meta.causation_id
        if self.meta.subject is not None:
            attributes[KIND], attributes[KEY] = self.meta.subject.kind, self.meta.subject.key
            if self.meta.subject.name:
                attributes[NAME] = self.meta.subject.name
        if self.meta.mark is not None:
            attributes[MARK] = attributes[FORMER_MARK] = self.meta.mark
        if self.meta.hops:
            attributes[HOPS] = self.meta.hops
        if self.meta.as_of is not None:
            attributes[AS_OF] = _text_of(self.meta.as_of)
        if self.meta.is_timer:
            attributes[TIMER] = True
        if self.meta.versions:
            attributes[FACT], attributes[FACT_TYPES] = str(self.meta.id), " ".join(self.meta.versions)
        return attributes

    @classmethod
    def from_dict(cls, body: object) -> "CloudEvent":
        """Read a CloudEvent that anybody may have published.

        CloudEvents identifies an event by ``source`` and ``id`` together. The id of a context's own event is a UUID,
        which identifies it alone; for any other event, a UUID is made from the pair. Versions of one fact go by the oldest one's id. Without ``correlationid`` the event
        begins a flow of its own. A mark is believed in the events of contexts only.

        Raises:
            InvalidCloudEventError: a required attribute is missing, or an attribute breaks CloudEvents 1.0.
        """
        if not isinstance(body, dict):
            raise InvalidCloudEventError(f"A CloudEvent is a JSON object; this is {type(body).__name__}.")
        if body.get("specversion") != "1.0":
            raise InvalidCloudEventError(
                f"specversion is {bounds.shown(body.get('specversion'))}; this kit reads CloudEvents 1.0 only."
            )
        source, event_type, raw_id = (_text(body, name) for name in ("source", "type", "id"))
        content_type = body.get("datacontenttype")
        if content_type is not None and not (
            isinstance(content_type, str) and _JSON_TYPE.fullmatch(content_type)
        ):
            raise InvalidCloudEventError(
                f"datacontenttype is {bounds.shown(content_type)}; payloads are JSON."
            )
        data = body.get("data")
        if not isinstance(data, dict):
            found = "data_base64, binary" if "data_base64" in body else type(data).__name__
            raise InvalidCloudEventError(f"data is {found}; a payload is a JSON object.")
        own_id = _own_id(source, event_type, raw_id)
        fact, versions = _fact(body, event_type) if own_id else (None, ())
        event_id = fact or own_id or _foreign_id(source, raw_id)
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
                subject=subject_of(body),
                mark=next((_text(body, name) for name in _MARKS if body.get(name) is not None), None)
                if own_id
                else None,
                hops=_hops(body) if own_id else 0,
                as_of=_time(body[AS_OF], name=AS_OF) if own_id and body.get(AS_OF) is not None else None,
                is_timer=bool(own_id) and body.get(TIMER) is True,
                versions=versions,
                original_id=None if own_id == event_id else raw_id,
                former_id=None if own_id else _former_id(source, raw_id),
            ),
            data=data,
            extensions={
                name: value
                for name, value in body.items()
                if name not in _KNOWN and value is not None and not (own_id and name in _OWN)
            },
        )

    @classmethod
    def from_json(cls, raw: str | bytes, *, is_retry: bool = False) -> "CloudEvent":
        """Read a CloudEvent from the text of a message; see :meth:`from_outside`.

        Args:
            raw: The text; bytes are UTF-8.
            is_retry: True for an event that was let in before, and comes back as the inbox kept it.
        """
        return cls.from_outside(bounds.parse(raw, is_retry=is_retry))

    @classmethod
    def from_outside(cls, body: object) -> "CloudEvent":
        """Read a CloudEvent as :meth:`from_dict` does, if it is within the kit's :mod:`.bounds`.

        Raises:
            InvalidCloudEventError: it is not a CloudEvent, or beyond the bounds.
        """
        if isinstance(body, dict):
            bounds.check_attributes(body)
        event = cls.from_dict(body)
        if len(event.extensions) > bounds.MOST_EXTENSIONS:
            raise InvalidCloudEventError(
                f"The event has {len(event.extensions)} extension attributes; at most {bounds.MOST_EXTENSIONS} are allowed."
            )
        return event


def kept_of(event: CloudEvent) -> dict[str, Any]:
    """Return the body that the inbox keeps of a handled event: its attributes alone.

    ``data`` is empty rather than absent, so that earlier versions of the kit read it as well. ``datacontenttype``, which tells
    of data, is absent: by that :func:`has_data` knows it from an event without fields.
    """
    attributes = event.to_dict()
    del attributes["datacontenttype"]
    return {**attributes, "data": {}}


def has_data(body: Mapping[str, Any]) -> bool:
    """Return False for a body that :func:`kept_of` made; any other has the event's data."""
    return "datacontenttype" in body or bool(body.get("data"))


def fact_of(body: Mapping[str, Any]) -> str:
    """Return the id of the fact in the body of an event that was recorded here."""
    return str(body.get(FACT) or body["id"])


def versions_of(body: Mapping[str, Any]) -> list[str]:
    """Return the types of the fact in the body of an event that was recorded here, the newest first."""
    return str(body.get(FACT_TYPES) or body["type"]).split(" ")


def mark_of(body: Mapping[str, Any]) -> str | None:
    """Return the mark in the body of an event that was recorded here."""
    return body.get(MARK) or body.get(FORMER_MARK)


def subject_of(body: Mapping[str, Any]) -> Subject | None:
    """Return the subject of the flow in the body of an event; None if it names none.

    Raises:
        InvalidCloudEventError: kind, key or name is beyond the bounds, or kind or key is missing.
    """
    kind, key, name = (body.get(each) for each in (KIND, KEY, NAME))
    if kind is None and key is None and name is None:
        return None
    if not (isinstance(kind, str) and isinstance(key, str)) or (
        name is not None and not (isinstance(name, str) and name)
    ):
        raise InvalidCloudEventError(
            f"{KIND}, {KEY} and {NAME} are {bounds.shown([kind, key, name])}. They are texts; kind and key come together, "
            "and a name comes with them or not at all."
        )
    if name is not None and len(name) > LONGEST_NAME:
        raise InvalidCloudEventError(
            f"{NAME} has {len(name):,} characters; at most {LONGEST_NAME:,} are allowed."
        )
    try:
        return Subject(kind=kind, key=key, name=name or "")
    except InvalidSubjectError as error:
        raise InvalidCloudEventError(f"{KIND}, {KEY} and {NAME}: {error}") from None


def context_of(type_or_label: str) -> str:
    """Return the context in the type of an event or the label of a microworkflow: the part before its first dot."""
    return type_or_label.partition(".")[0]


def _fact(body: Mapping[str, Any], event_type: str) -> tuple[UUID | None, tuple[str, ...]]:
    """Return the id of the fact and the types of its versions."""
    fact, types = body.get(FACT), body.get(FACT_TYPES)
    if fact is None and types is None:
        return None, ()
    versions = tuple(types.split(" ")) if isinstance(types, str) else ()
    if event_type not in versions or not isinstance(fact, str) or (found := _uuid(fact)) is None:
        raise InvalidCloudEventError(
            f"{FACT} and {FACT_TYPES} are {bounds.shown([fact, types])}. They come together: a UUID, and the types of the fact's "
            f"versions, of which {bounds.shown(event_type)} is one."
        )
    return found, versions


def _hops(body: dict[str, Any]) -> int:
    hops = 0 if body.get(HOPS) is None else body[HOPS]
    if type(hops) is not int or hops < 0:
        raise InvalidCloudEventError(f"{HOPS} is {bounds.shown(hops)}; it must be a number of events.")
    return hops


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidCloudEventError(
            f"{name} is {bounds.shown(value)}; CloudEvents 1.0 requires a non-empty string."
        )
    return value


def _optional_text(body: dict[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _own_id(source: str, event_type: str, raw_id: str) -> UUID | None:
    """Return the id of an event that a context announced; None if it is somebody else's."""
    if source != f"/{context_of(event_type)}":
        return None
    return _uuid(raw_id)


def _uuid(text: str) -> UUID | None:
    """Return the UUID that a text is in its canonical form; None if it is none."""
    try:
        uuid = UUID(text)
    except ValueError:
        return None
    return uuid if str(uuid) == text else None


def _foreign_id(source: str, raw_id: str) -> UUID:
    """Return an id for a pair that is unique; a source may hold a "#" itself, but no line break."""
    return uuid5(NAMESPACE_URL, f"{source}\n{raw_id}" if "#" in source else f"{source}#{raw_id}")


def _former_id(source: str, raw_id: str) -> UUID | None:
    try:
        former = UUID(raw_id)
    except ValueError:
        former = uuid5(NAMESPACE_URL, f"{source}#{raw_id}")
    return former if former != _foreign_id(source, raw_id) else None


def _text_of(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _time(value: object, *, name: str = "time") -> datetime:
    """Read a timestamp of RFC 3339; a leap second is read as the second after it, as POSIX clocks count."""
    if value is None:
        return datetime.now(tz=UTC)
    if not isinstance(value, str) or (found := _TIME.fullmatch(value)) is None:
        raise InvalidCloudEventError(
            f"{name} is {bounds.shown(value)}; it must be a timestamp of RFC 3339, such as 2026-01-31T12:00:00Z."
        )
    day, minute, second, fraction, offset = found.groups()
    is_leap = second == "60"
    text = f"{day}T{minute}:{'59' if is_leap else second}{fraction or ''}{offset.upper()}"
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
        time += timedelta(seconds=is_leap)
    except (ValueError, OverflowError) as error:
        raise InvalidCloudEventError(f"{name} is {bounds.shown(value)}: {error}.") from error
    if is_leap and (time.day, time.hour, time.minute) != (1, 0, 0):
        raise InvalidCloudEventError(
            f"{name} is {bounds.shown(value)}; a leap second is the last one of a month in UTC."
        )
    return time
