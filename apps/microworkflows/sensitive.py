"""Fields that hold secrets or personal data: declared with :data:`Sensitive` or :data:`Personal`, kept and sent as they are, masked for people."""

import dataclasses
import re
import types
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
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
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


_Value = TypeVar("_Value")
Sensitive = Annotated[_Value, _Marker("Sensitive")]
"""Marks a field of an event: ``payment_token: Sensitive[str]``. Its type stays what it is."""
Personal = Annotated[_Value, _Marker("Personal")]
"""Marks a sensitive field that is about a person, and that ``manage.py erase`` erases: ``ship_to: Personal[Address]``."""

_Wanted: TypeAlias = Callable[[Any], bool]
"""Tells whether a marker, or a type, makes a part one of the parts in question."""
_ERASED = re.compile(r"erased on \d{4}-\d\d-\d\d")


def merged(one: Tree, other: Tree) -> Tree:
    """Return everything that one of two trees holds."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is True or other is True or one or other
    return {key: merged(one.get(key, False), other.get(key, False)) for key in {**one, **other}}


@cache
def tree(model: type[BaseModel], *, unnamed: bool = False, personal: bool = False) -> Tree:
    """Return the sensitive parts of a model's values: those marked, and those of the types that pydantic calls secret.

    Args:
        model: An event, or another model.
        unnamed: Whether entries that the model does not name are sensitive, too.
        personal: True for the personal parts alone.
    """
    return _of_model(model, unnamed, (), _is_personal if personal else _is_hidden)


def masked(value: Any, parts: Tree) -> Any:
    """Return a JSON value with the mask in place of its sensitive parts, and of what has not the form that it should.

    Of what was erased it still shows when.
    """
    return _replaced(value, parts, lambda part: part if is_erased(part) else MASK)


def erased(value: Any, parts: Tree, *, at: datetime) -> Any:
    """Return a JSON value with the text ``erased on DATE`` in place of these parts, and of what has not the form that it should."""
    return _replaced(value, parts, lambda part: part if is_erased(part) else erased_text(at))


def erased_text(at: datetime) -> str:
    """Return the text that takes the place of what is erased."""
    return f"erased on {at:%Y-%m-%d}"


def erased_error(error: str, *, at: datetime) -> str:
    """Return an error, as its type and text, without its text."""
    name, _, text = error.partition(": ")
    return error if is_erased(text) or not error else f"{name}: {erased_text(at)}"


def is_erased(value: Any) -> bool:
    """Return True if a value is the text that took the place of what was erased."""
    return isinstance(value, str) and _ERASED.fullmatch(value) is not None


def _replaced(value: Any, parts: Tree, replacement: Callable[[Any], Any]) -> Any:
    if value is None or parts is False or parts == {}:
        return value
    if isinstance(parts, dict) and isinstance(value, dict):
        pairs = ((key, entry, parts.get(key, parts.get(ANY, False))) for key, entry in value.items())
        return {key: _replaced(entry, part, replacement) for key, entry, part in pairs}
    if isinstance(parts, dict) and isinstance(value, list):
        return [_replaced(entry, parts.get(ANY, False), replacement) for entry in value]
    return replacement(value)


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


def _is_hidden(mark: Any) -> bool:
    return isinstance(mark, _Marker) or _is_secret(mark)


def _is_personal(mark: Any) -> bool:
    return isinstance(mark, _Marker) and mark.name == "Personal"


def _of_model(model: type[BaseModel], unnamed: bool, inside: tuple[Any, ...], wanted: _Wanted) -> Tree:
    parts: dict[str, Tree] = {ANY: True} if unnamed else {}
    for name, field in model.model_fields.items():
        marked = any(map(wanted, field.metadata))
        part = marked or _of(field.annotation, unnamed, (*inside, model), wanted)
        for key in {name, field.alias or name, field.serialization_alias or name}:
            parts[key] = part
    return parts if any(parts.values()) else False


def _of(annotation: Any, unnamed: bool, inside: tuple[Any, ...], wanted: _Wanted) -> Tree:
    if annotation in inside:  # a type inside itself: all of it is masked, or nothing
        return any(map(wanted, _mentioned(annotation, [])))
    if wanted(annotation):
        return True
    if hasattr(annotation, "__value__"):  # type Token = …
        return _of(annotation.__value__, unnamed, (*inside, annotation), wanted)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_model(annotation, unnamed, inside, wanted)
    if _has_hints(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        named = {name: _of(hint, unnamed, (*inside, annotation), wanted) for name, hint in hints.items()}
        return named if any(named.values()) else False
    return _of_arguments(annotation, unnamed, inside, wanted)


def _of_arguments(annotation: Any, unnamed: bool, inside: tuple[Any, ...], wanted: _Wanted) -> Tree:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marked = any(map(wanted, arguments[1:]))
        return marked or _of(arguments[0], unnamed, inside, wanted)
    if origin in (Union, types.UnionType):
        found: Tree = False
        for argument in arguments:
            found = merged(found, _of(argument, unnamed, inside, wanted))
        return found
    if isinstance(origin, type) and issubclass(origin, Mapping):
        arguments = arguments[1:]
    item: Tree = False
    for argument in arguments:
        item = merged(item, _of(argument, unnamed, inside, wanted))
    return {ANY: item} if item else False
