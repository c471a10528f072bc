"""Rows of the journal for tests, as the collector would have written them; whatever a test does not say has a plain value."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from microworkflows.journal.models import Context, Delivery, Event, Flow, Gap, Minute, Process

NOW = datetime(2026, 3, 14, 2, 48, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    """Return a time before :data:`NOW`."""
    return NOW - timedelta(seconds=seconds)


def process(kind: str, *contexts: str, seen: float = 1, **values: Any) -> Process:
    """Make a process, seen some seconds ago, from which all notices until then have come."""
    name = f"{kind}-{'-'.join(contexts)}@host"
    life: dict[str, Any] = {"sent_at": ago(seen).timestamp()}
    if kind == "worker":
        life |= {"depths": dict.fromkeys(contexts, 0), "handling": 0}
    if kind == "relay":
        life |= {"leads": list(contexts)}
    given = {
        "id": uuid.uuid4(),
        "service": "-".join(contexts) or "shop",
        "kind": kind,
        "name": name,
        "host": "host",
        "pid": 1,
        "contexts": list(contexts),
        "began_at": ago(3600),
        "seen_at": ago(seen),
        "next_number": 1,
        **values,
    }
    given["life"] = life | values.get("life", {})
    return Process.objects.create(**given)


def gap(of: Process, *, since: float, until: float, **values: Any) -> Gap:
    """Make a gap in a process's notices, which begins and ends some seconds ago."""
    given = {"first": 1, "number": 1, **values}
    return Gap.objects.create(process=of, since=ago(since), until=ago(until), **given)


def context(
    name: str,
    *,
    listens: Sequence[tuple[str, str, Sequence[str]]] = (),
    announces: Sequence[str] = (),
    outcomes: dict[str, str] | None = None,
    deadlines: Sequence[tuple[str, str, float]] = (),
    tally: dict[str, Any] | None = None,
    **values: Any,
) -> Context:
    """Make a context. ``listens`` is label, type and emitted types; ``deadlines`` is awaited type, type and seconds."""
    declarations = {
        "contexts": [name],
        "workflows": [{"label": label, "on": on, "emits": list(emits)} for label, on, emits in listens],
        "announces": list(announces),
        "outcomes": outcomes or {},
        "deadlines": [{"awaited": awaited, "of": of, "within": within} for awaited, of, within in deadlines],
        "admin_url": values.get("admin_url", ""),
    }
    counted = ("pending", "unheard", "rejected", "waiting", "parked", "dead")
    given = {
        "service": name,
        "declared_at": ago(3600),
        "declarations": declarations,
        "tally": dict.fromkeys(counted, 0) | {"context": name} | (tally or {}),
        "tallied_at": ago(5),
        **values,
    }
    return Context.objects.create(name=name, **given)


def flow(name: str = "A-000001", *, began: float = 600, **values: Any) -> Flow:
    """Make a flow on its way."""
    given = {
        "correlation_id": str(uuid.uuid4()),
        "kind": "Order",
        "key": name.lstrip("A-0") or "1",
        "name": name,
        "began_at": ago(began),
        "last_at": ago(began),
        "since": ago(began),
        "state": Flow.State.ON_ITS_WAY,
        **values,
    }
    return Flow.objects.create(**given)


def event(of: Flow, type: str, *, at: float = 600, cause: Event | None = None, **values: Any) -> Event:
    """Make an event of a flow, relayed as soon as it was recorded."""
    given = {
        "id": uuid.uuid4(),
        "recorded_at": ago(at),
        "relayed_at": ago(at),
        "status": Event.Status.RELAYED,
        "causation_id": str(cause.pk) if cause else "",
        **values,
    }
    return Event.objects.create(flow=of, type=type, **given)


def delivery(
    of: Event,
    consumer: str,
    status: Delivery.Status = Delivery.Status.HANDLED,
    *,
    at: float = 600,
    **values: Any,
) -> Delivery:
    """Make a delivery of an event, received some seconds ago."""
    given: dict[str, Any] = {"received_at": ago(at), "emitted": [], **values}
    if status is Delivery.Status.HANDLED:
        given = {"handled_at": ago(at), "duration": timedelta(milliseconds=4)} | given
    given = {"changed_at": given.get("handled_at") or given["received_at"]} | given
    given["emitted"] = [str(each.pk if isinstance(each, Event) else each) for each in given["emitted"]]
    return Delivery.objects.create(event=of, consumer=consumer, status=status, **given)


def minute(type: str, consumer: str = "", *, at: datetime = NOW, **values: Any) -> Minute:
    """Make the numbers of one minute."""
    return Minute.objects.create(
        at=at.replace(second=0, microsecond=0), type=type, consumer=consumer, **values
    )


def missing() -> UUID:
    """Return the id of an event that nobody has told of."""
    return uuid.uuid4()
