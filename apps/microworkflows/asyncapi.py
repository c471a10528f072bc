"""The contracts as an AsyncAPI 3.0 document: a channel for each event type, who sends and receives it, and what it holds.

Sources: https://www.asyncapi.com/docs/reference/specification/v3.0.0 and its AMQP bindings, version 0.3.0.
"""

import json
from inspect import getdoc
from typing import Any, Final

from microworkflows import cloudevents, contracts, registry, schemas, topology
from microworkflows.cloudevents import CONTENT_TYPE, context_of
from microworkflows.comparison.options import REMOVED, Schema
from microworkflows.events import DomainEvent, Event, IncomingEvent

_BINDING: Final = "0.3.0"
_ENVELOPE: Final = "CloudEvent"
_TEXT = {"type": "string"}


def document(*, title: str, version: str) -> dict[str, Any]:
    """Return the document of all installed contexts.

    The body of a message is a CloudEvent in the structured mode, so its attributes are in the payload. Sensitive fields have
    ``x-sensitive``. A type that a newer version follows is deprecated, and says which one.
    """
    events = _events()
    components: dict[str, Schema] = {_ENVELOPE: _envelope()}
    for event_type, event in events.items():
        components.update(_lifted(event_type, _data(event)))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Events between contexts, as CloudEvents 1.0 over AMQP 0-9-1. Written by manage.py asyncapi.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {event_type: _channel(event_type, event) for event_type, event in events.items()},
        "operations": {**_sent(), **_received()},
        "components": {
            "schemas": components,
            "messages": {
                event_type: _message(event_type, event, set(events)) for event_type, event in events.items()
            },
        },
    }


def as_text(made: dict[str, Any]) -> str:
    """Return a document as JSON, the same text for the same declarations."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _events() -> dict[str, type[Event]]:
    """Return the events by type, as announced here, else as the first of their readings has them."""
    events: dict[str, type[Event]] = {}
    for reading in sorted(registry.readings(), key=contracts.name_of):
        events.setdefault(reading.event_type, reading)
    events.update(registry.announced())
    return dict(sorted(events.items()))


def _data(event: type[Event]) -> Schema:
    if issubclass(event, DomainEvent):
        return schemas.promised(event)
    assert issubclass(event, IncomingEvent)
    return schemas.read(event)


def _channel(event_type: str, event: type[Event]) -> dict[str, Any]:
    exchange = topology.exchange()
    return {
        "address": event_type,
        "title": event.__name__,
        "messages": {event_type: {"$ref": f"#/components/messages/{event_type}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange.name,
                    "type": exchange.type,
                    "durable": exchange.durable,
                    "autoDelete": False,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(action: str, event_type: str, **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{event_type}"},
        "messages": [{"$ref": f"#/channels/{event_type}/messages/{event_type}"}],
        **more,
    }


def _sent() -> dict[str, Any]:
    bindings = {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": _BINDING}}
    return {
        f"{context_of(event_type)}.send.{event_type}": _operation("send", event_type, bindings=bindings)
        for event_type in sorted(registry.announced())
    }


def _received() -> dict[str, Any]:
    bindings = {"amqp": {"ack": True, "bindingVersion": _BINDING}}
    return {
        f"{context}.receive.{event_type}": _operation(
            "receive",
            event_type,
            bindings=bindings,
            **{
                "x-queue": topology.name(context),
                "x-microworkflows": [
                    each.label for each in registry.listeners(event_type, contexts=[context])
                ],
            },
        )
        for context in registry.contexts()
        for event_type in registry.subscriptions(context)
    }


def _message(event_type: str, event: type[Event], types: set[str]) -> dict[str, Any]:
    newer = _newer(event_type, types)
    unknown = registry.announced().get(event_type) is not event
    note = " Its announcement is not known here: this is what a reading takes." if unknown else ""
    note += f" Deprecated: {newer} follows it." if newer else ""
    data = {"$ref": f"#/components/schemas/{event_type}"}
    return {
        "name": event_type,
        "title": event.__name__,
        "summary": f"{getdoc(event) or event.__name__}{note}",
        "contentType": CONTENT_TYPE,
        "headers": _headers(),
        "payload": {
            "allOf": [{"$ref": f"#/components/schemas/{_ENVELOPE}"}],
            "type": "object",
            "properties": {
                "type": {"const": event_type},
                "source": {"const": f"/{context_of(event_type)}"},
                "data": data,
            },
            **({"deprecated": True} if newer else {}),
        },
        **({"tags": [{"name": "deprecated"}], "x-followed-by": newer} if newer else {}),
    }


def _newer(event_type: str, types: set[str]) -> str | None:
    """Return the newest type of the same event, if that is another one."""
    base, _, version = event_type.rpartition(".v")
    versions = [int(each.rpartition(".v")[2]) for each in types if each.rpartition(".v")[0] == base]
    return f"{base}.v{max(versions)}" if max(versions) > int(version) else None


def _headers() -> Schema:
    return {
        "type": "object",
        "properties": {
            cloudevents.ATTEMPT_HEADER: {
                "type": "integer",
                "description": "On a retry: attempts that had failed.",
            },
            cloudevents.LABEL_HEADER: {
                **_TEXT,
                "description": "On a retry: the microworkflow that tries again.",
            },
        },
    }


def _envelope() -> Schema:
    """Return the attributes of every event: those of CloudEvents 1.0, and the kit's extensions."""
    time = {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        "description": "CloudEvents 1.0, structured mode. Other attributes are kept and passed over.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**_TEXT, "maxLength": 255},
            "source": {**_TEXT, "format": "uri-reference"},
            "type": {**_TEXT, "maxLength": 255},
            "time": time,
            "datacontenttype": {**_TEXT, "default": "application/json"},
            "correlationid": {**_TEXT, "maxLength": 255},
            "causationid": {**_TEXT, "maxLength": 255},
            "traceparent": _TEXT,
            cloudevents.TRACESTATE: _TEXT,
            cloudevents.KIND: {**_TEXT, "maxLength": 100},
            cloudevents.KEY: {**_TEXT, "maxLength": 150},
            cloudevents.NAME: {**_TEXT, "maxLength": 100},
            cloudevents.HOPS: {"type": "integer", "minimum": 0},
            cloudevents.TIMER: {"const": True},
            cloudevents.MARK: _TEXT,
            cloudevents.AS_OF: time,
            "data": {"type": "object"},
        },
    }


def _lifted(event_type: str, schema: Schema) -> dict[str, Schema]:
    """Return a schema and its parts as components, in the words of AsyncAPI's schemas, which are JSON Schema's draft 07."""
    parts = {f"{event_type}.{name}": part for name, part in schema.get("$defs", {}).items()}
    whole = {name: part for name, part in schema.items() if name not in ("$defs", "$schema", REMOVED)}
    return {name: _reworded(part, event_type) for name, part in {event_type: whole, **parts}.items()}


def _reworded(part: Any, event_type: str) -> Any:
    if isinstance(part, list):
        return [_reworded(each, event_type) for each in part]
    if not isinstance(part, dict):
        return part
    made = {name: _reworded(each, event_type) for name, each in part.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = f"#/components/schemas/{event_type}.{made['$ref'].rpartition('/')[2]}"
    if isinstance(made.get("discriminator"), dict):
        made["discriminator"] = made["discriminator"].get("propertyName")
    if isinstance(made.get("prefixItems"), list):
        made["items"] = made.pop("prefixItems")
    return made
