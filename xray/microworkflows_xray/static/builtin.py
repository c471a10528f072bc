"""Python's own functions and collections, as far as they pass values on."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .engine import Frame
from .values import (
    UNKNOWN,
    ClassOf,
    FunctionOf,
    Instance,
    Items,
    Many,
    Method,
    Record,
    Rows,
    Super,
    Text,
    Value,
    item,
    many,
    record,
    text_of,
    union,
)

if TYPE_CHECKING:
    from .calling import Arguments

_GROWING = frozenset({"append", "add", "extend", "update", "insert", "appendleft", "setdefault"})
_MEMBERS = frozenset({"get", "pop", "popleft", "popitem", "setdefault", "__getitem__"})


def call(frame: Frame, name: str, node: ast.Call) -> Value | None:
    """Tell what a built-in function gives; None for any other name."""
    rule = _RULES.get(name)
    return rule(frame, node) if rule is not None and (node.args or name in {"super", "dict"}) else None


def _super(frame: Frame, node: ast.Call) -> Value:
    return frozenset(Super(frame.cls, each) for each in frame.this)


def _copy(frame: Frame, node: ast.Call) -> Value:
    from . import expressions

    members = [expressions.iterate(frame, each) for each in node.args]
    return many(members[-1] if len(members) == 2 else members[0])  # filter(function, rows) has its rows last


def _chosen(frame: Frame, node: ast.Call) -> Value:
    from . import calling

    return union([item(value) or value for value in calling.arguments(frame, node).positional])


def _enumerate(frame: Frame, node: ast.Call) -> Value:
    from . import expressions

    return many(frozenset({Items((UNKNOWN, expressions.iterate(frame, node.args[0])))}))


def _zip(frame: Frame, node: ast.Call) -> Value:
    from . import expressions

    return many(frozenset({Items(tuple(expressions.iterate(frame, each) for each in node.args))}))


def _map(frame: Frame, node: ast.Call) -> Value:
    from . import calling, expressions

    members = calling.Arguments([expressions.iterate(frame, each) for each in node.args[1:]])
    functions = expressions.evaluate(frame, node.args[0])
    return many(union([calling.apply(frame, each, members, node) for each in functions]))


def _type(frame: Frame, node: ast.Call) -> Value:
    from . import expressions

    value = expressions.evaluate(frame, node.args[0])
    return frozenset(ClassOf(each.cls, each.open) for each in value if isinstance(each, Instance))


def _dict(frame: Frame, node: ast.Call) -> Value:
    from . import calling

    passed = calling.arguments(frame, node)
    given = [
        frozenset({each}) for value in passed.positional for each in value if isinstance(each, (Many, Record))
    ]
    return union([record(passed.named), *given])


def _getattr(frame: Frame, node: ast.Call) -> Value:
    from . import attributes, dispatching, expressions

    owners, *named = node.args
    value = expressions.evaluate(frame, owners)
    key, *default = [expressions.evaluate(frame, each) for each in named] or [UNKNOWN]
    texts = sorted(each.text for each in key if isinstance(each, Text))
    found = [attributes.get(frame, value, each, node) for each in texts if "%s" not in each]
    if len(found) < max(len(texts), 1):
        found += dispatching.by_pattern(frame, value, [each for each in texts if "%s" in each])
    return union([*found, *default])


def _setattr(frame: Frame, node: ast.Call) -> Value:
    from . import expressions

    owners, key, value = (*(expressions.evaluate(frame, each) for each in node.args), UNKNOWN, UNKNOWN)[:3]
    name = text_of(key)
    for owner in owners if name else ():
        if isinstance(owner, (Instance, ClassOf)):
            frame.join("attribute", owner.cls, str(name), value)
    return UNKNOWN


_RULES = {
    "super": _super,
    "dict": _dict,
    **dict.fromkeys(("list", "set", "sorted", "tuple", "reversed", "iter", "frozenset", "filter"), _copy),
    **dict.fromkeys(("next", "min", "max"), _chosen),
    "enumerate": _enumerate,
    "zip": _zip,
    "map": _map,
    "type": _type,
    "getattr": _getattr,
    "setattr": _setattr,
}


def method(frame: Frame, called: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a method of a collection gives."""
    owner, name = called.owner, called.name
    if isinstance(owner, Record):
        key = text_of(passed.positional[0]) if passed.positional else None
        if name in _MEMBERS and key is not None:
            return union([owner.get(key), *passed.positional[1:2]])
        if name == "copy":
            return frozenset({owner})
    if isinstance(owner, (Many, Items, Record)):
        members = item(frozenset({owner}))
        if name in _MEMBERS:
            return union([members, *passed.positional[1:2]])
        if name == "items":
            return many(frozenset({Items((UNKNOWN, members))}))
        if name in {"__iter__", "values", "copy", "union", "difference", "intersection", "most_common"}:
            return many(members)
        return UNKNOWN
    if isinstance(owner, Method) and name == "get" and owner.name in {"cleaned_data", "validated_data"}:
        from . import attributes

        return attributes.member(frame, owner, passed.positional[0] if passed.positional else UNKNOWN, node)
    return None


def grow(frame: Frame, node: ast.Attribute, passed: Arguments) -> None:
    """Follow ``collection.append(value)`` and its relatives."""
    from . import assignments

    if (
        node.attr not in _GROWING
        or not any(passed.positional)
        or not isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript))
    ):
        return
    if isinstance(node.value, ast.Name):
        before = frame.env.get(node.value.id, UNKNOWN)
        if any(isinstance(each, (Rows, Instance, FunctionOf, Text, ClassOf)) for each in before):
            return
    elif not isinstance(node.value, ast.Attribute) or _is_rows(frame, node.value):
        return
    value = passed.positional[-1]
    if node.attr == "update":
        for each in value:
            if isinstance(each, (Many, Record)):
                assignments.put(frame, node.value, frozenset({each}))
    elif node.attr == "setdefault" and (key := text_of(passed.positional[0])) is not None:
        assignments.put(frame, node.value, record({key: value}))
    else:
        assignments.grow(frame, node.value, item(value) if node.attr == "extend" else value)


def _is_rows(frame: Frame, node: ast.expr) -> bool:
    from . import expressions

    return any(isinstance(each, (Rows, Method)) for each in expressions.evaluate(frame, node))
