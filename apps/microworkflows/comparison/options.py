"""JSON Schemas as alternatives: references and unions resolved, so that each alternative has one type, and what it means for a value."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any, Final, TypeAlias
from uuid import UUID

from microworkflows.comparison.numbers import Numbers
from microworkflows.comparison.texts import FREE, is_decimal, matches

Schema: TypeAlias = dict[str, Any]
Option: TypeAlias = dict[str, Any]
"""An alternative: a schema with one ``type``, without references and unions."""

KINDS: Final = frozenset({"null", "boolean", "number", "string", "array", "object"})
"""The types of JSON; an integer is a number."""

REMOVED: Final = "x-removed"
"""Keyword of a contract's file: fields that were removed, which older events may still hold."""
DECIMAL: Final = "x-decimal"
"""Keyword: limits of a decimal number, which is written as text."""

_ANNOTATIONS = frozenset(
    {
        *(
            "title",
            "description",
            "default",
            "examples",
            "deprecated",
            "readOnly",
            "writeOnly",
            "discriminator",
        ),
        *("type", "enum", "const", "$comment", "$defs", "$schema", "$id", "x-sensitive"),
    }
)
_KEYWORDS: dict[str, frozenset[str]] = {
    "null": frozenset(),
    "boolean": frozenset(),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format", DECIMAL}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "object": frozenset({"properties", "required", "additionalProperties", "patternProperties"})
    | {"propertyNames", "minProperties", "maxProperties", REMOVED},
}
_ALL_KEYWORDS = frozenset().union(*_KEYWORDS.values())
_UNIONS = ("anyOf", "oneOf")


class Reader:
    """Reads the schemas of one document, and returns the same objects for the same schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._read: dict[int, list[Option]] = {}
        self._kept: list[object] = []  # so that no id is used twice

    def options(self, schema: Schema | bool) -> list[Option]:
        """Return the alternatives of a schema, none for one that nothing satisfies."""
        if isinstance(schema, bool):
            return _ANYTHING if schema else []
        if id(schema) not in self._read:
            self._read[id(schema)] = list(self._alternatives(schema))
            self._kept.append(schema)
        return self._read[id(schema)]

    def kept(self, option: Option) -> Option:
        """Return an alternative that was made, whose id stays its own."""
        self._kept.append(option)
        return option

    def _alternatives(self, schema: Schema) -> Iterator[Option]:
        beside = {name for name in schema if name not in _ANNOTATIONS}
        if "$ref" in schema and beside == {"$ref"}:
            yield from self.options(self._root["$defs"][schema["$ref"].rpartition("/")[2]])
            return
        for union in _UNIONS:
            tag = schema.get("discriminator", {}).get("propertyName")
            if beside == {union} and (union == "anyOf" or tag):
                for each in schema[union]:
                    yield from (_tagged(option, tag) for option in self.options(each))
                return
        kinds = schema.get("type")
        if isinstance(kinds, str):
            yield schema
        elif isinstance(kinds, list):
            yield from (_of_kind(schema, kind) for kind in kinds)
        elif (listed := values(schema)) is not None:
            yield from ({"type": _kind(value), "const": value} for value in listed)
        elif not beside:
            yield from _ANYTHING
        else:
            yield from (_of_kind(schema, kind) for kind in sorted(KINDS))


def _of_kind(schema: Schema, kind: str) -> Option:
    """Return the part of a schema that is about values of one type."""
    others = _ALL_KEYWORDS - _KEYWORDS[kind]
    return {**{name: value for name, value in schema.items() if name not in others}, "type": kind}


def _tagged(option: Option, tag: str | None) -> Option:
    """Return a member of a union with the field that tells it apart, which is always written."""
    if tag is None or tag in option.get("required", ()):
        return option
    return {**option, "required": [*option.get("required", ()), tag]}


def values(option: Schema) -> list[Any] | None:
    """Return all values of an alternative, if they are listed, or few."""
    if "const" in option:
        return [option["const"]]
    if "enum" in option:
        return list(option["enum"])
    if option.get("type") == "null":
        return [None]
    if option.get("type") == "boolean":
        return [False, True]
    if option.get("type") in ("integer", "number"):
        return Numbers.of(option).few()
    return None


def accepts(want: Option, value: Any) -> bool | None:
    """Return whether an alternative takes a value; None if nobody can tell."""
    if isinstance(value, list | dict) or unknown(want):
        return None
    if "const" in want or "enum" in want:
        return among(value, values(want) or [])
    if isinstance(value, bool) or value is None or isinstance(value, str):
        if want["type"] != _kind(value):
            return False
        return _accepts_text(want, value) if isinstance(value, str) else True
    return want["type"] in ("integer", "number") and Numbers.of(want).hold(value)


def _accepts_text(want: Option, value: str) -> bool | None:
    if not want.get("minLength", 0) <= len(value) <= want.get("maxLength", len(value)):
        return False
    verdicts = []
    if want.get("format") not in FREE:
        verdicts.append(_has_form(value, want["format"], want.get(DECIMAL, {})))
    if "pattern" in want:
        verdicts.append(matches(want["pattern"], value))
    return False if False in verdicts else None if None in verdicts else True


def _has_form(value: str, form: str, limits: Schema) -> bool | None:
    if form == "decimal":
        return is_decimal(value, limits)
    readers: dict[str, Callable[[str], object]] = {"uuid": UUID, "date": date.fromisoformat}
    if form not in readers:
        return None
    try:
        return str(readers[form](value)) == value.lower()
    except ValueError:
        return False


def among(value: Any, listed: Iterable[Any]) -> bool:
    """Return whether a JSON value is among others: 1 and 1.0 are the same, 1 and true are not."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in listed)


def unknown(option: Option) -> list[str]:
    """Return the keywords of an alternative that are outside what is compared."""
    return [
        name for name in option if name not in _ANNOTATIONS and name not in _KEYWORDS.get(option["type"], ())
    ]


def limits(option: Option) -> list[str]:
    """Return the keywords by which an alternative is less than all values of its type."""
    listed = [name for name in option if name in ("enum", "const")]
    return listed + [name for name in option if name not in _ANNOTATIONS]


def item(option: Option, place: int) -> Schema | bool:
    """Return the schema of a list's item at a place."""
    firsts = option.get("prefixItems", [])
    found: Schema | bool = firsts[place] if place < len(firsts) else option.get("items", True)
    return found


def names(option: Option) -> Schema:
    """Return the schema of the names of an object's fields."""
    found: Schema = option.get("propertyNames", {})
    return found if "$ref" in found else {"type": "string", **found}


def described(some: Iterable[Option]) -> str:
    """Return alternatives in words, such as ``string (uuid) or null``."""
    return " or ".join(dict.fromkeys(map(_described, some))) or "nothing"


_SAID: Final = (
    *("format", DECIMAL, "minLength", "maxLength", "pattern", "minimum", "exclusiveMinimum", "maximum"),
    *(
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    ),
)


def _described(option: Option) -> str:
    if "const" in option or "enum" in option:
        return f"{option['type']} ({', '.join(map(repr, values(option) or []))})"
    said = []
    for name in (*_SAID, *unknown(option)):
        if name == DECIMAL and name in option:
            said += [f"{limit} {value}" for limit, value in option[DECIMAL].items()]
        elif name in option:
            said.append(str(option[name]) if name == "format" else f"{name} {option[name]}")
    return f"{option['type']} ({', '.join(said)})" if said else str(option["type"])


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    for kind, types in (("boolean", bool), ("integer", int), ("number", float), ("string", str)):
        if isinstance(value, types):
            return kind
    return "array" if isinstance(value, list) else "object"


_ANYTHING: list[Option] = [{"type": kind} for kind in sorted(KINDS)]
