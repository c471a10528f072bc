"""Fields that hold secrets or personal data: declared with :data:`Sensitive`, kept and sent as they are, masked for people."""

import dataclasses
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import (
    Annotated,
    Any,
    Final,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

MASK: Final = "•••"
"""Shown to people in place of a sensitive value."""

ANY: Final = "*"
"""Key of a :data:`Tree`: every item of a list, or each entry of an object that the tree does not name."""

_SECRETS: Final = (SecretStr, SecretBytes, Secret)

Tree: TypeAlias = "bool | dict[str, Tree]"
"""The sensitive parts of a value: all of it, none of it, or those under the keys."""


class Masked:
    """A sensitive value in the ``repr()`` of its event."""

    def __repr__(self) -> str:
        return MASK


class _Marker:
    def __repr__(self) -> str:
        return "Sensitive"


_Value = TypeVar("_Value")
Sensitive = Annotated[_Value, _Marker()]
"""Marks a field of an event: ``payment_token: Sensitive[str]``. Its type stays what it is."""


def merged(one: Tree, other: Tree) -> Tree:
    """Return everything that one of two trees holds."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is True or other is True or one or other
    return {key: merged(one.get(key, False), other.get(key, False)) for key in {**one, **other}}


@cache
def tree(model: type[BaseModel], *, unnamed: bool = False) -> Tree:
    """Return the sensitive parts of a model's values: those marked, and those of the types that pydantic calls secret.

    Args:
        model: An event, or another model.
        unnamed: Whether entries that the model does not name are sensitive, too.
    """
    return _of_model(model, unnamed, ())


def masked(value: Any, parts: Tree) -> Any:
    """Return a JSON value with the mask in place of its sensitive parts, and of what has not the form that it should."""
    if value is None or parts is False or parts == {}:
        return value
    if isinstance(parts, dict) and isinstance(value, dict):
        return {key: masked(entry, parts.get(key, parts.get(ANY, False))) for key, entry in value.items()}
    if isinstance(parts, dict) and isinstance(value, list):
        return [masked(entry, parts.get(ANY, False)) for entry in value]
    return MASK


def values(value: Any, parts: Tree) -> Iterator[str]:
    """Yield the sensitive texts and numbers of a JSON value, each as text."""
    if parts is False or parts == {}:
        return
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from values(entry, parts if parts is True else parts.get(key, parts.get(ANY, False)))
    elif isinstance(value, list):
        for entry in value:
            yield from values(entry, parts if parts is True else parts.get(ANY, False))
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def payload(event: BaseModel) -> dict[str, Any]:
    """Return an event's data as JSON, each field under its alias, by which readings find it.

    What pydantic calls secret is there with its value, which pydantic would leave out.
    """
    data = event.model_dump(mode="json", by_alias=True)
    if _has_secrets(type(event)):
        revealed: dict[str, Any] = _revealed(data, event.model_dump(by_alias=True))
        return revealed
    return data


def _revealed(dumped: Any, value: Any) -> Any:
    """Return dumped JSON with each secret's value; ``value`` is the same dump in Python's types."""
    if isinstance(value, _SECRETS):
        return to_jsonable_python(value.get_secret_value())
    if isinstance(dumped, dict) and isinstance(value, dict):
        pairs = zip(dumped.items(), value.values(), strict=True)
        return {key: _revealed(entry, other) for (key, entry), other in pairs}
    if isinstance(dumped, list) and isinstance(value, list | tuple):
        return [_revealed(entry, other) for entry, other in zip(dumped, value, strict=True)]
    return dumped


@cache
def _has_secrets(model: type[BaseModel]) -> bool:
    return any(map(_is_secret, _mentioned(model, [])))


def _mentioned(annotation: Any, seen: list[Any]) -> list[Any]:
    """Return everything that a type mentions, down to the markers of its fields, each once."""
    if any(annotation is each for each in seen):
        return seen
    seen.append(annotation)
    if hasattr(annotation, "__value__"):  # type Token = …
        parts = [annotation.__value__]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        parts = [part for field in fields for part in (field.annotation, *field.metadata)]
    elif _has_hints(annotation):
        parts = list(get_type_hints(annotation, include_extras=True).values())
    else:
        parts = list(get_args(annotation))
    for part in parts:
        _mentioned(part, seen)
    return seen


def _has_hints(annotation: Any) -> bool:
    return dataclasses.is_dataclass(annotation) or hasattr(annotation, "__required_keys__")  # a TypedDict


def _is_secret(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, _SECRETS)


def _of_model(model: type[BaseModel], unnamed: bool, inside: tuple[Any, ...]) -> Tree:
    parts: dict[str, Tree] = {ANY: True} if unnamed else {}
    for name, field in model.model_fields.items():
        marked = any(isinstance(each, _Marker) for each in field.metadata)
        part = marked or _of(field.annotation, unnamed, (*inside, model))
        for key in {name, field.alias or name, field.serialization_alias or name}:
            parts[key] = part
    return parts if any(parts.values()) else False


def _of(annotation: Any, unnamed: bool, inside: tuple[Any, ...]) -> Tree:
    if annotation in inside:  # a type inside itself: all of it is masked, or nothing
        return any(isinstance(each, _Marker) or _is_secret(each) for each in _mentioned(annotation, []))
    if _is_secret(annotation):
        return True
    if hasattr(annotation, "__value__"):  # type Token = …
        return _of(annotation.__value__, unnamed, (*inside, annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation, unnamed, inside)
    if _has_hints(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        named = {name: _of(hint, unnamed, (*inside, annotation)) for name, hint in hints.items()}
        return named if any(named.values()) else False
    return _of_arguments(annotation, unnamed, inside)


def _of_arguments(annotation: Any, unnamed: bool, inside: tuple[Any, ...]) -> Tree:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marked = any(isinstance(each, _Marker) for each in arguments[1:])
        return marked or _of(arguments[0], unnamed, inside)
    if origin in (Union, types.UnionType):
        found: Tree = False
        for argument in arguments:
            found = merged(found, _of(argument, unnamed, inside))
        return found
    if isinstance(origin, type) and issubclass(origin, Mapping):
        arguments = arguments[1:]
    item: Tree = False
    for argument in arguments:
        item = merged(item, _of(argument, unnamed, inside))
    return {ANY: item} if item else False
