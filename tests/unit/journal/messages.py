"""Messages of the journal for tests, as a reporter would have sent them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from microworkflows.journal import reading
from microworkflows.journal.notices import Kind
from microworkflows.journal.reading import Sent

BEGAN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

Notice = tuple[Kind, float, dict[str, Any]]


def at(seconds: float) -> float:
    """Return a time after the beginning, as it travels."""
    return (BEGAN + timedelta(seconds=seconds)).timestamp()


class Speaker:
    """A process that sends notices."""

    def __init__(
        self, service: str = "shop", *, kind: str = "pool", host: str = "one", clock: float = 0.0
    ) -> None:
        self.id, self.service, self.kind, self.host, self.clock = uuid4(), service, kind, host, clock
        self.number = 0

    def says(
        self, *notices: Notice, sent: float = 60, arrived: float | None = None, fresh: bool = True
    ) -> Sent:
        """Return the next message as the collector reads it; see :meth:`writes`."""
        arrival = BEGAN + timedelta(seconds=sent + 0.01 if arrived is None else arrived)
        return reading.message(self.writes(*notices, sent=sent), arrived_at=arrival, is_fresh=fresh)

    def writes(self, *notices: Notice, sent: float = 60) -> str:
        """Return the next message as it travels; ``clock`` is added to all times that this process tells."""
        first, self.number = self.number, self.number + len(notices)
        process = {
            "id": str(self.id),
            "service": self.service,
            "kind": self.kind,
            "name": f"{self.kind} of {self.service}",
            "host": self.host,
            "pid": 7,
            "contexts": [self.service] if self.kind in ("worker", "relay") else [],
            "began_at": at(self.clock),
        }
        told = [[kind, when + self.clock, _shifted(facts, self.clock)] for kind, when, facts in notices]
        body = {
            "version": 1,
            "process": process,
            "sent_at": at(sent + self.clock),
            "first": first,
            "notices": told,
        }
        return json.dumps(body)


def _shifted(facts: dict[str, Any], clock: float) -> dict[str, Any]:
    if "event" in facts and isinstance(facts["event"], dict):
        return {**facts, "event": _shifted(facts["event"], clock)}
    return {**facts, "time": facts["time"] + clock} if "time" in facts else facts


def event(
    type: str = "orders.accepted.v1",
    *,
    flow: str = "a-flow",
    after: float = 0,
    cause: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return an event's facts."""
    facts = {"id": str(uuid4()), "type": type, "flow": flow, "time": at(after), "trace": "a" * 32}
    return {**facts, **({"cause": cause} if cause else {}), **more}


def relayed(event: dict[str, Any], *, after: float = 1, kind: Kind = Kind.RELAYED, **more: Any) -> Notice:
    """Return the notice of an event's relay."""
    return kind, at(after), {**event, **more}


def handled(
    event: dict[str, Any],
    consumer: str,
    *,
    after: float = 2,
    number: int = 1,
    emitted: Sequence[dict[str, Any]] = (),
) -> Notice:
    """Return the notice of an attempt that succeeded."""
    facts = {"event": event, "consumer": consumer, "number": number, "seconds": 0.5}
    return Kind.HANDLED, at(after), {**facts, "emitted": [each["id"] for each in emitted]}


def failed(
    event: dict[str, Any], consumer: str, *, after: float = 2, number: int = 1, parked: bool = False
) -> Notice:
    """Return the notice of an attempt that failed."""
    facts = {
        "event": event,
        "consumer": consumer,
        "number": number,
        "seconds": 0.5,
        "error": "ValueError: no",
        "fingerprint": "f" * 32,
    }
    if not parked:
        facts["due"] = at(after + 10)
    return (Kind.PARKED if parked else Kind.FAILED), at(after), facts


def declared(*workflows: tuple[str, str, list[str]], contexts: Sequence[str], **more: Any) -> Notice:
    """Return the notice of a process's declarations."""
    listeners = [{"label": label, "on": on, "emits": emits} for label, on, emits in workflows]
    facts = {
        "contexts": list(contexts),
        "workflows": listeners,
        "announces": [],
        "outcomes": {},
        "deadlines": [],
        "admin_url": "",
    }
    return Kind.DECLARED, at(0), {**facts, **more}
