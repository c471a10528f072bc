"""Contracts between contexts as JSON Schema: what an event's announcement promises, and what another context's reading of it asks for."""

from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from microworkflows import comparison, sensitive
from microworkflows.comparison import Difference
from microworkflows.comparison.options import DECIMAL, Schema
from microworkflows.events import DomainEvent, Event, IncomingEvent

SENSITIVE = "x-sensitive"
"""Keyword: the value is masked for people."""

_LIMITS = ("max_digits", "decimal_places", "ge", "gt", "le", "lt", "multiple_of")


def promised(event: type[DomainEvent]) -> Schema:
    """Return what the payloads of an event hold, as its context writes them: fields that their models name, and no others."""
    made = _schema(event, "serialization")
    for model in (made, *made.get("$defs", {}).values()):
        if "properties" in model:
            model.setdefault("additionalProperties", False)
    return made


def read(reading: type[Event]) -> Schema:
    """Return which payloads a reading takes. Validators of your own are not in it."""
    return _schema(reading, "validation")


def misfits(*, reading: type[IncomingEvent], announced: type[DomainEvent]) -> list[Difference]:
    """Return the demands of the reading that the announced schema does not promise; none if they fit.

    A field that the announcer may leave out or set to null must be optional, or nullable, in the reading. What cannot be
    compared, such as two patterns, is among them, too.
    """
    return comparison.differences(wanted=read(reading), promised=promised(announced))


def words(difference: Difference) -> str:
    """Return what does not fit between a reading and an announcement, for people."""
    if difference.wanted == "required":
        return f"{difference.path} is required but {difference.promised}"
    where = difference.path or "the payload"
    return f"{where} may be {difference.promised} but is read as {difference.wanted}"


def _schema(model: type[BaseModel], mode: JsonSchemaMode) -> Schema:
    made = model.model_json_schema(mode=mode, schema_generator=_Generator)
    _mark(made, made, sensitive.tree(model))
    return made


class _Generator(GenerateJsonSchema):
    """Keeps the limits of decimal numbers, which pydantic leaves out or hides in a pattern that changes with its version."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave out titles that only say a field's name again."""
        return False

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        limits = {name: str(schema[name]) for name in _LIMITS if schema.get(name) is not None}  # type: ignore[literal-required]
        text: JsonSchemaValue = {
            "type": "string",
            "format": "decimal",
            **({DECIMAL: limits} if limits else {}),
        }
        if self.mode == "serialization":
            return text
        number = cast("JsonSchemaValue", super().decimal_schema(schema)["anyOf"][0])
        digits = {name: limits[name] for name in ("max_digits", "decimal_places") if name in limits}
        return {"anyOf": [{**number, **({DECIMAL: digits} if digits else {})}, text]}


def _mark(schema: Any, root: Schema, parts: sensitive.Tree) -> None:
    """Mark the sensitive parts of a schema."""
    if parts is True:
        schema[SENSITIVE] = True
    elif isinstance(parts, dict):
        _mark_below(schema, root, parts)


def _mark_below(schema: Any, root: Schema, parts: "dict[str, sensitive.Tree]") -> None:
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        _mark(each, root, parts)
    if "$ref" in schema:
        _mark(root["$defs"][schema["$ref"].rpartition("/")[2]], root, parts)
    for name, field in schema.get("properties", {}).items():
        _mark(field, root, parts.get(name, False))
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _mark(schema[name], root, parts.get(sensitive.ANY, False))
