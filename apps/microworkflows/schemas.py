"""Contracts between contexts: compares an announced event with another context's reading of it, as JSON Schema."""

from collections.abc import Iterator
from typing import Any

from microworkflows.events import DomainEvent, IncomingEvent

Schema = dict[str, Any]


def misfits(*, reading: type[IncomingEvent], announced: type[DomainEvent]) -> list[str]:
    """Return the demands of the reading that the announced schema does not promise; none if they fit.

    The comparison covers presence and JSON type of each field that the reading names, down through objects, arrays
    and unions, and the values where both sides list them. A field that the announcer may leave out or set to null
    must be optional, or nullable, in the reading.
    """
    wanted = reading.model_json_schema(mode="validation")
    promised = announced.model_json_schema(mode="serialization")
    problems = _Comparison(wanted, promised).of_values(wanted, promised)
    return [problem.removeprefix(".") for problem in problems]


class _Comparison:
    """Compares two schemas; each problem begins with the path from the schemas compared to the part that does not fit."""

    def __init__(self, wanted: Schema, promised: Schema) -> None:
        self._wanted_root = wanted
        self._promised_root = promised
        self._known: dict[tuple[int, int], list[str]] = {}

    def of_values(self, wanted: Schema, promised: Schema) -> list[str]:
        """Compare two schemas of any kind: each promised alternative must fit a wanted one."""
        wants = list(_options(wanted, self._wanted_root))
        problems: list[str] = []
        for promise in _options(promised, self._promised_root):
            fitting = [self._inside(want, promise) for want in wants if _same_kind(want, promise)]
            if fitting:
                closest = min(fitting, key=len)
                problems += closest
            else:
                kinds = " or ".join(sorted({_kind(want) for want in wants}))
                problems.append(f" may be {_kind(promise)} but is read as {kinds}")
        return problems

    def _inside(self, want: Schema, promise: Schema) -> list[str]:
        if promise.get("type") == "object":
            pair = id(want), id(promise)
            if pair not in self._known:
                # A schema inside itself fits unless its other parts show otherwise.
                self._known[pair] = []
                self._known[pair] = list(self._of_fields(want, promise))
            return self._known[pair]
        if promise.get("type") == "array" and "items" in want and "items" in promise:
            return [f"[]{problem}" for problem in self.of_values(want["items"], promise["items"])]
        return []

    def _of_fields(self, want: Schema, promise: Schema) -> Iterator[str]:
        for name, field in want.get("properties", {}).items():
            required = name in want.get("required", [])
            if name not in promise.get("properties", {}):
                if required:
                    yield f".{name} is required but not announced"
                continue
            if required and name not in promise.get("required", []):
                yield f".{name} is required but may be left out"
            for problem in self.of_values(field, promise["properties"][name]):
                yield f".{name}{problem}"


def _options(schema: Schema, root: Schema) -> Iterator[Schema]:
    """Yield the alternatives of a schema, references resolved: the members of a union, or the schema itself."""
    if "$ref" in schema:
        yield from _options(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif union := schema.get("anyOf") or schema.get("oneOf"):
        for option in union:
            yield from _options(option, root)
    else:
        yield schema


def _same_kind(want: Schema, promise: Schema) -> bool:
    wanted, promised = _values(want), _values(promise)
    if wanted and promised and not all(value in wanted for value in promised):
        return False
    if "type" not in want or want.get("type") == promise.get("type") == "object":
        return True
    if want.get("type") == "number" and promise.get("type") == "integer":
        return True
    if want.get("type") != promise.get("type"):
        return False
    return want.get("format", "password") in (
        "password",
        promise.get("format"),
    )  # any text may be read as a secret


def _values(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else schema.get("enum", [])


def _kind(schema: Schema) -> str:
    kind = str(schema.get("type", "anything"))
    if values := _values(schema):
        return f"{kind} ({', '.join(map(repr, values))})"
    return f"{kind} ({schema['format']})" if "format" in schema else kind
