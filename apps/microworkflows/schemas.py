"""Contracts between contexts: does what one announces satisfy what another reads? Compared as JSON Schema."""

from collections.abc import Iterator
from typing import Any

from microworkflows.events import DomainEvent, IncomingEvent

Schema = dict[str, Any]


def misfits(*, reading: type[IncomingEvent], announced: type[DomainEvent]) -> list[str]:
    """Return what the reading asks for and the announced schema does not promise; empty where they fit.

    Compared are presence and JSON type of each field that the reading names, down through objects and arrays.
    A field that the announcer may leave out or set to null must be optional, or nullable, in the reading.
    """
    promised = announced.model_json_schema(mode="serialization")
    wanted = reading.model_json_schema(mode="validation")
    return list(_object_misfits(wanted, promised, wanted, promised, ""))


def _object_misfits(
    wanted: Schema, promised: Schema, wanted_root: Schema, promised_root: Schema, at: str
) -> Iterator[str]:
    for name, want in wanted.get("properties", {}).items():
        path = f"{at}{name}"
        if name not in promised.get("properties", {}):
            if name in wanted.get("required", []):
                yield f"{path} is required but not announced"
            continue
        if name in wanted.get("required", []) and name not in promised.get("required", []):
            yield f"{path} is required but may be left out"
        yield from _value_misfits(want, promised["properties"][name], wanted_root, promised_root, path)


def _value_misfits(
    want: Schema, promise: Schema, wanted_root: Schema, promised_root: Schema, path: str
) -> Iterator[str]:
    wants = [_resolved(option, wanted_root) for option in _options(_resolved(want, wanted_root))]
    promises = [_resolved(option, promised_root) for option in _options(_resolved(promise, promised_root))]
    for promised in promises:
        fitting = [want for want in wants if _same_kind(want, promised)]
        if not fitting:
            kinds = " or ".join(sorted({_kind(want) for want in wants}))
            yield f"{path} may be {_kind(promised)} but is read as {kinds}"
        elif promised.get("type") == "object":
            yield from _object_misfits(fitting[0], promised, wanted_root, promised_root, f"{path}.")
        elif promised.get("type") == "array" and "items" in fitting[0] and "items" in promised:
            yield from _value_misfits(
                fitting[0]["items"], promised["items"], wanted_root, promised_root, f"{path}[]"
            )


def _options(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", [schema]))


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    return root["$defs"][reference.rpartition("/")[2]] if reference else schema


def _same_kind(want: Schema, promise: Schema) -> bool:
    if "type" not in want or want.get("type") == promise.get("type") == "object":
        return True
    if want.get("type") == "number" and promise.get("type") == "integer":
        return True
    if want.get("type") != promise.get("type"):
        return False
    return "format" not in want or want["format"] == promise.get("format")


def _kind(schema: Schema) -> str:
    kind = str(schema.get("type", "anything"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind
