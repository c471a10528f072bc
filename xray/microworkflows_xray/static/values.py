"""Abstract values: the kinds of things that an expression may evaluate to, as far as the code tells."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LIMIT = 250
"""An expression that may be more things than this counts as unknown; ``self`` in a mixin of all models may be many."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class."""

    cls: str
    open: bool = False
    """True if it may be of a subclass."""
    new: bool = False
    """True if the code has just made it, so that saving it inserts a row."""


@dataclass(frozen=True, slots=True)
class ClassOf:
    """A class itself."""

    cls: str
    open: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """A manager or queryset."""

    model: str
    """Dotted name of the model's class."""
    cls: str = ""
    """Dotted name of a manager's or queryset's class of the project's, if it has one."""
    through: str = ""
    """Table of a many-to-many relation, of whose manager these are the rows."""
    related: bool = False
    """True for the manager of a reverse relation or of a many-to-many one."""
    joins: tuple[tuple[str, str], ...] = ()
    """Other tables in the query, each with the column that is read of it, or nothing for whole rows."""
    columns: tuple[str, ...] = ()
    """Columns that filters and orderings named."""
    plain: bool = False
    """True after ``values()`` and the like: its items are no instances."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list, set, dictionary or iterator of something."""

    item: Value


@dataclass(frozen=True, slots=True)
class Items:
    """A tuple whose members are known one by one."""

    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A dictionary some of whose members are known by their keys, which are strings that stand in the code."""

    fields: tuple[tuple[str, Value], ...]

    def get(self, key: str) -> Value:
        """Give what is known under a key."""
        return dict(self.fields).get(key, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Decorated:
    """Any function to which a decorator of the project's is applied: what its wrapper calls."""

    decorator: str


@dataclass(frozen=True, slots=True)
class FunctionOf:
    """A function of the project's code, bound to ``owner`` if that is known."""

    name: str
    owner: Type | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """A method that the project's code does not define: the framework's, or a library's."""

    owner: Type
    name: str
    after: str = ""
    """Class behind which the method is looked for, if it was named through ``super()``."""


@dataclass(frozen=True, slots=True)
class Super:
    """``super()`` in a method of ``cls``."""

    cls: str
    owner: Type


@dataclass(frozen=True, slots=True)
class Outside:
    """A module, function or class that is not in the parsed code, by its dotted name."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string that stands in the code."""

    text: str


Type = (
    Instance
    | ClassOf
    | Rows
    | Many
    | Items
    | Record
    | Decorated
    | FunctionOf
    | Method
    | Super
    | Outside
    | Text
)
Value = frozenset[Type]

UNKNOWN: Value = frozenset()

_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|TRUNCATE)\s", re.IGNORECASE)


def union(values: Iterable[Value]) -> Value:
    """Unite what an expression may be; too many possibilities are unknown."""
    found: set[Type] = set()
    for value in values:
        found |= value
    if len(found) > LIMIT:
        return UNKNOWN
    return frozenset(found)


def depth(value: Value) -> int:
    """Tell how deeply lists are nested in a value."""
    deepest = 0
    for each in value:
        if isinstance(each, Many):
            deepest = max(deepest, 1 + depth(each.item))
        elif isinstance(each, Items):
            deepest = max(deepest, 1 + max((depth(item) for item in each.items), default=0))
        elif isinstance(each, Record):
            deepest = max(deepest, 1 + max((depth(value) for _, value in each.fields), default=0))
    return deepest


def item(value: Value) -> Value:
    """Give the members of a collection."""
    found: list[Value] = []
    for each in value:
        if isinstance(each, Many):
            found.append(each.item)
        elif isinstance(each, Items):
            found.extend(each.items)
        elif isinstance(each, Record):
            found.extend(value for _, value in each.fields)
        elif isinstance(each, Rows) and not each.plain:
            found.append(frozenset({Instance(each.model)}))
    return union(found)


def many(value: Value) -> Value:
    """Give a collection of something; strings are left out, and nesting stops at four levels, so that loops in the code come to an end."""
    value = without_text(value)
    if not value or depth(value) > 3:
        return UNKNOWN
    return frozenset({Many(value)})


def record(fields: Mapping[str, Value]) -> Value:
    """Give a dictionary by its keys; members that are unknown or strings are left out, and nesting stops as in lists."""
    known = {key: without_text(value) for key, value in sorted(fields.items())}
    if not any(known.values()) or max(map(depth, known.values())) > 3:
        return UNKNOWN
    return frozenset({Record(tuple((key, value) for key, value in known.items() if value))})


def without_text(value: Value) -> Value:
    """Leave out strings, of which code is full, where nothing depends on them."""
    return frozenset(each for each in value if not isinstance(each, Text)) if value else value


def plain(value: Value) -> Value:
    """Leave out strings that are no SQL, and what a query has gathered so far: what passes between functions stays small."""
    return frozenset(
        dataclasses.replace(each, joins=(), columns=())
        if isinstance(each, Rows) and (each.joins or each.columns)
        else each
        for each in value
        if not isinstance(each, Text) or _SQL.match(each.text)
    )


def text_of(value: Value) -> str | None:
    """Give the string that a value is, if it is exactly one."""
    if len(value) == 1:
        (only,) = value
        if isinstance(only, Text):
            return only.text
    return None
