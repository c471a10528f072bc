"""Contracts between contexts: compares an announced event with another context's reading of it, as JSON Schema."""

from collections.abc import Iterator
from math import inf
from typing import Any

from microworkflows.events import DomainEvent, IncomingEvent

Schema = dict[str, Any]


def misfits(*, reading: type[IncomingEvent], announced: type[DomainEvent]) -> list[str]:
    """Return the demands of the reading that the announced schema does not promise; none if they fit.

    The comparison covers presence and JSON type of each field that the reading names, down through objects, arrays
    and unions, and the values that the reading lists. A field that the announcer may leave out or set to null
    must be optional, or nullable, in the reading. Limits of the reading, such as a longest length, must be limits of the
    announcement; of a pattern it must have one, and whether that is as strict is not compared.
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
        return [*_stricter(want, promise), *self._parts(want, promise)]

    def _parts(self, want: Schema, promise: Schema) -> list[str]:
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


def _stricter(want: Schema, promise: Schema) -> Iterator[str]:
    """Yield the limits of a reading that the announcement does not keep to."""
    if _values(promise):  # the values are compared, one by one
        return
    for lower, upper in (
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
    ):
        if want.get(lower, 0) > promise.get(lower, 0):
            yield f" must have a {lower} of {want[lower]} in the reading, and may have less"
        if want.get(upper, inf) < promise.get(upper, inf):
            yield f" must have a {upper} of {want[upper]} in the reading, and may have more"
    if _least(want) > _least(promise):
        yield f" must be {_limit(want, 'exclusiveMinimum', 'minimum', '>')} in the reading, and may be less"
    if _most(want) < _most(promise):
        yield f" must be {_limit(want, 'exclusiveMaximum', 'maximum', '<')} in the reading, and may be more"
    if "pattern" in want and "pattern" not in promise and "format" not in promise:
        yield f" must match {want['pattern']} in the reading, and may be any text"
    if "multipleOf" in want and promise.get("multipleOf", 0.5) % want["multipleOf"]:
        yield f" must be a multiple of {want['multipleOf']} in the reading, and need not be one"
    if want.get("uniqueItems") and not promise.get("uniqueItems"):
        yield " must have no item twice in the reading, and may have"


def _least(schema: Schema) -> tuple[float, bool]:
    """Return the least value of a number, and whether the number is above it; so that a stricter limit is greater."""
    return max((schema.get("minimum", -inf), False), (schema.get("exclusiveMinimum", -inf), True))


def _most(schema: Schema) -> tuple[float, bool]:
    """Return the greatest value of a number, and whether the number may be it; so that a stricter limit is less."""
    return min((schema.get("maximum", inf), True), (schema.get("exclusiveMaximum", inf), False))


def _limit(schema: Schema, exclusive: str, inclusive: str, sign: str) -> str:
    return f"{sign} {schema[exclusive]}" if exclusive in schema else f"{sign}= {schema[inclusive]}"


def _same_kind(want: Schema, promise: Schema) -> bool:
    wanted, promised = _values(want), _values(promise)
    if wanted and not (promised and all(value in wanted for value in promised)):
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
