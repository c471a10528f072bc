"""Export of flows as an object-centric event log, OCEL 2.0 in JSON, for tools of process mining (https://www.ocel-standard.org).

An event of the log is an event that was recorded, or one that a microworkflow handled. Its objects are what the flow is about (of the type
of the subject's kind), else the flow itself, and the context that recorded or handled it. Payloads are not in the journal, so not in the log.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from microworkflows import times
from microworkflows.cloudevents import context_of
from microworkflows.journal.models import Delivery, Event, Flow

_FLOWS_AT_ONCE: Final = 500
_ALWAYS: Final = "1970-01-01T00:00:00Z"
"""Time of an object's attributes that do not change, as the specification has it."""
_FLOW, _CONTEXT = "flow", "context"
_OBJECT_ATTRIBUTES: Final = {"name": "string"}
_RECORDED: Final = {"emitted_by": "string", "cause": "string"}
_HANDLED: Final = {"event": "string", "attempts": "integer", "seconds": "float"}


def export(*, since: datetime | None = None, until: datetime | None = None) -> Iterator[str]:
    """Yield the text of a log of the flows that began in a time, whole: one JSON object, a line for each event and object.

    It holds a few hundred flows at once in memory, however many there are.
    """
    flows = Flow.objects.all()
    if since is not None:
        flows = flows.filter(began_at__gte=times.stored(since))
    if until is not None:
        flows = flows.filter(began_at__lt=times.stored(until))
    types: dict[str, Mapping[str, str]] = {}
    contexts: set[str] = set()
    kinds: set[str] = {_CONTEXT}
    yield '{"events": ['
    yield from _lines(_events(flows, types, contexts))
    yield '], "objects": ['
    yield from _lines(_objects(flows, contexts, kinds))
    yield '], "eventTypes": ['
    yield from _lines(_type(name, types[name]) for name in sorted(types))
    yield '], "objectTypes": ['
    yield from _lines(_type(name, _OBJECT_ATTRIBUTES) for name in sorted(kinds))
    yield "]}\n"


def _lines(values: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    before = "\n"
    for value in values:
        yield before + json.dumps(value, ensure_ascii=False)
        before = ",\n"


def _events(flows: Any, types: dict[str, Mapping[str, str]], contexts: set[str]) -> Iterator[dict[str, Any]]:
    whole = flows.order_by("began_at", "pk").prefetch_related("events__deliveries")
    for flow in whole.iterator(chunk_size=_FLOWS_AT_ONCE):
        happened: list[dict[str, Any]] = []
        for event in flow.events.all():
            types[event.type] = _RECORDED
            contexts.add(context_of(event.type))
            happened.append(_recorded(event, flow))
            for delivery in event.deliveries.all():
                if delivery.status == Delivery.Status.HANDLED and delivery.handled_at is not None:
                    types[delivery.consumer] = _HANDLED
                    contexts.add(context_of(delivery.consumer))
                    happened.append(_handled(delivery, event, flow))
        yield from sorted(happened, key=lambda each: str(each["time"]))


def _recorded(event: Event, flow: Flow) -> dict[str, Any]:
    given = {"emitted_by": event.emitted_by, "cause": event.causation_id}
    return {
        "id": str(event.pk),
        "type": event.type,
        "time": _time(event.recorded_at),
        "attributes": _values(given),
        "relationships": _related(flow, context_of(event.type), "recorded by"),
    }


def _handled(delivery: Delivery, event: Event, flow: Flow) -> dict[str, Any]:
    took = delivery.duration
    given = {
        "event": str(event.pk),
        "attempts": str(delivery.attempts),
        "seconds": "" if took is None else f"{took.total_seconds():.6f}",
    }
    assert delivery.handled_at is not None
    return {
        "id": f"{event.pk}:{delivery.consumer}",
        "type": delivery.consumer,
        "time": _time(delivery.handled_at),
        "attributes": _values(given),
        "relationships": _related(flow, context_of(delivery.consumer), "handled by"),
    }


def _objects(flows: Any, contexts: Iterable[str], kinds: set[str]) -> Iterator[dict[str, Any]]:
    """Yield each object once: several flows may be about the same, and then follow each other."""
    before = ""
    rows = flows.order_by("kind", "key", "correlation_id", "pk")
    for flow in rows.only("kind", "key", "name", "correlation_id").iterator(chunk_size=_FLOWS_AT_ONCE):
        if (name := _subject(flow)) != before:
            kinds.add(flow.kind or _FLOW)
            yield _object(name, flow.kind or _FLOW, flow.name)
        before = name
    for context in sorted(contexts):
        yield _object(f"{_CONTEXT}:{context}", _CONTEXT, context)


def _object(name: str, kind: str, title: str) -> dict[str, Any]:
    attributes = [{"name": "name", "time": _ALWAYS, "value": title}] if title else []
    return {"id": name, "type": kind, "attributes": attributes, "relationships": []}


def _subject(flow: Flow) -> str:
    return f"{flow.kind}:{flow.key}" if flow.kind else f"{_FLOW}:{flow.correlation_id}"


def _related(flow: Flow, context: str, qualifier: str) -> list[dict[str, str]]:
    return [
        {"objectId": _subject(flow), "qualifier": "about"},
        {"objectId": f"{_CONTEXT}:{context}", "qualifier": qualifier},
    ]


def _values(given: Mapping[str, str]) -> list[dict[str, str]]:
    """Return attributes as the published schema has them: every value is a text, whatever its declared type."""
    return [{"name": name, "value": value} for name, value in given.items() if value]


def _type(name: str, attributes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "attributes": [{"name": each, "type": kind} for each, kind in attributes.items()],
    }


def _time(at: datetime) -> str:
    return times.aware(at).astimezone(UTC).isoformat().replace("+00:00", "Z")
