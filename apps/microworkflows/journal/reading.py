"""The collector's door: what a message must be, whoever published it; behind it, texts fit their columns and times are times."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from microworkflows.journal.notices import LONGEST_ERROR, VERSION, Kind

_LONGEST = 255
_KINDS = frozenset(Kind)
_MOST_NUMBER = 2**53


class UnreadableMessageError(ValueError):
    """A message is none of the journal's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message as it was sent; times are still of the sender's clock."""

    id: UUID
    service: str
    kind: str
    name: str
    host: str
    pid: int
    contexts: list[str]
    began_at: datetime
    sent_at: datetime
    first: int
    notices: Sequence[Any]
    arrived_at: datetime
    is_fresh: bool
    """True if it did not wait in the queue."""

    @property
    def end(self) -> int:
        """Number of the notice after its last."""
        return self.first + len(self.notices)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTold:
    """An event's envelope, as somebody told of it."""

    id: UUID
    type: str
    flow: str
    cause: str
    time: datetime
    mark: str
    hops: int
    about: tuple[str, str, str]
    trace: str
    by: str = ""
    """Label of the microworkflow that emitted it; notices do not tell it."""
    error: str = ""
    """The broker's reason to refuse it for good."""
    versions: tuple[str, ...] = ()
    """Types of a fact that was recorded in several versions, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTold:
    """An attempt, as somebody told of it."""

    event: EventTold
    consumer: str
    number: int | None
    began: datetime | None
    seconds: float | None
    mode: str
    emitted: list[str]
    error: str
    fingerprint: str
    due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActTold:
    """What somebody did to a parked message, as it was told."""

    kind: Kind
    at: datetime
    event: UUID
    consumer: str
    by: str
    why: str


def message(body: str | bytes, *, arrived_at: datetime, is_fresh: bool) -> Sent:
    """Read a message.

    Raises:
        UnreadableMessageError: it is not what a reporter sends.
    """
    try:
        found = json.loads(body)
        _check_version(found["version"])
        sender, notices = found["process"], [*found["notices"]]
        return Sent(
            id=UUID(sender["id"]),
            service=text(sender["service"], 63),
            kind=text(sender["kind"], 10),
            name=text(sender["name"]),
            host=text(sender["host"]),
            pid=number(sender["pid"]),
            contexts=[text(each) for each in sender["contexts"]],
            began_at=time(sender["began_at"]),
            sent_at=time(found["sent_at"]),
            first=number(found["first"]),
            notices=notices,
            arrived_at=arrived_at,
            is_fresh=is_fresh,
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        raise UnreadableMessageError(f"{type(error).__name__}: {error}") from error


def _check_version(version: object) -> None:
    if version != VERSION:
        raise ValueError(f"its version is {version!r}, this collector's {VERSION}")


def notice(raw: Any) -> tuple[Kind, datetime, Mapping[str, Any]] | None:
    """Return kind, time and facts of a notice; None if a newer version sends what this one does not know."""
    kind, at, facts = raw
    if kind not in _KINDS:
        return None
    if not isinstance(facts, dict):
        raise TypeError(f"the facts of {kind} are {type(facts).__name__}, no object")
    return Kind(kind), time(at), facts


def event(facts: Mapping[str, Any]) -> EventTold:
    """Read an event's facts."""
    about = facts.get("about") or ["", "", ""]
    kind, key, name = (str(each)[:_LONGEST] for each in about)
    return EventTold(
        id=UUID(facts["id"]),
        type=text(facts["type"]),
        flow=text(facts["flow"]),
        cause=text(facts.get("cause", "")),
        time=time(facts["time"]),
        mark=str(facts.get("mark", ""))[:_LONGEST],
        hops=number(facts.get("hops", 0)),
        about=(_clean(kind), _clean(key), _clean(name)),
        trace=_clean(str(facts.get("trace", "")))[:32],
        error=error(facts),
        versions=tuple(text(each) for each in facts.get("versions", ())),
    )


def attempt(facts: Mapping[str, Any]) -> AttemptTold:
    """Read an attempt's facts."""
    return AttemptTold(
        event=event(facts["event"]),
        consumer=text(facts["consumer"]),
        number=max(number(facts["number"]), 1) if "number" in facts else None,
        began=time(facts["began"]) if "began" in facts else None,
        seconds=max(float(facts["seconds"]), 0.0) if "seconds" in facts else None,
        mode=text(facts.get("mode", ""), 63),
        emitted=[str(UUID(each)) for each in facts.get("emitted", ())],
        error=error(facts),
        fingerprint=text(facts.get("fingerprint", ""), 32),
        due=time(facts["due"]) if facts.get("due") is not None else None,
    )


def act(kind: Kind, at: datetime, facts: Mapping[str, Any]) -> ActTold:
    """Read what somebody did."""
    return ActTold(
        kind=kind,
        at=at,
        event=UUID(facts["event"]),
        consumer=text(facts["consumer"]),
        by=text(facts.get("by", "")),
        why=_clean(str(facts.get("why", "")))[:LONGEST_ERROR],
    )


def error(facts: Mapping[str, Any]) -> str:
    """Read an error."""
    return _clean(str(facts.get("error", "")))[:LONGEST_ERROR]


def moved(told: EventTold, time: datetime) -> EventTold:
    """Return an event with its time on the collector's clock."""
    return told if told.time == time else replace(told, time=time)


def begun(told: AttemptTold, began: datetime) -> AttemptTold:
    """Return an attempt with its beginning on the collector's clock."""
    return told if told.began == began else replace(told, began=began)


def text(value: Any, most: int = _LONGEST) -> str:
    """Return a text that fits its column."""
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{str(value)[:80]!r} is no text of at most {most} characters")
    return _clean(value)


def number(value: Any) -> int:
    """Return a whole number that fits its column."""
    if type(value) is not int or not 0 <= value < _MOST_NUMBER:
        raise ValueError(f"{str(value)[:80]!r} is no number")
    return value


def time(seconds: Any) -> datetime:
    """Return the time of so many seconds since 1970."""
    return datetime.fromtimestamp(float(seconds), UTC)


def _clean(value: str) -> str:
    return (
        value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        if not value.isprintable()
        else value
    )
