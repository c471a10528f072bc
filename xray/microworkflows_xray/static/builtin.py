"""Python's own functions and collections, as far as they pass values on."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .engine import Frame
from .values import UNKNOWN, ClassOf, FunctionOf, Instance, Items, Many, Method, Rows, Super, Text, Value, item, many, union

if TYPE_CHECKING:
    from .calling import Arguments

_COPIES = frozenset({"list", "set", "sorted", "tuple", "reversed", "iter", "frozenset", "filter"})
_GROWING = frozenset({"append", "add", "extend", "update", "insert", "appendleft", "setdefault"})
_MEMBERS = frozenset({"get", "pop", "popleft", "popitem", "setdefault", "__getitem__"})


def call(frame: Frame, name: str, node: ast.Call) -> Value | None:
    """Tell what a built-in function gives; None for any other name."""
    from . import attributes, calling, expressions

    if name == "super":
        for each in node.args:
            expressions.evaluate(frame, each)
        cls = frame.cls
        return frozenset(Super(cls, each) for each in frame.this)
    if name in _COPIES and node.args:
        members = [expressions.iterate(frame, each) for each in node.args]
        if name == "filter" and len(node.args) == 2:
            return many(members[1])
        return many(members[0])
    if name in {"next", "min", "max"} and node.args:
        passed = calling.arguments(frame, node)
        return union([item(value) or value for value in passed.positional])
    if name == "enumerate" and node.args:
        return many(frozenset({Items((UNKNOWN, expressions.iterate(frame, node.args[0])))}))
    if name == "zip":
        return many(frozenset({Items(tuple(expressions.iterate(frame, each) for each in node.args))}))
    if name == "map" and len(node.args) > 1:
        members = [expressions.iterate(frame, each) for each in node.args[1:]]
        results = [calling.apply(frame, each, calling.Arguments(members), node) for each in expressions.evaluate(frame, node.args[0])]
        return many(union(results))
    if name == "type" and len(node.args) == 1:
        return frozenset(ClassOf(each.cls, each.open) for each in expressions.evaluate(frame, node.args[0]) if isinstance(each, Instance))
    if name == "getattr" and len(node.args) > 1:
        owners, key = expressions.evaluate(frame, node.args[0]), node.args[1]
        default = expressions.evaluate(frame, node.args[2]) if len(node.args) > 2 else UNKNOWN
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            return union([attributes.get(frame, owners, key.value, node), default])
        expressions.evaluate(frame, key)
        return default
    if name == "setattr" and len(node.args) == 3 and isinstance(node.args[1], ast.Constant):
        owners, value = expressions.evaluate(frame, node.args[0]), expressions.evaluate(frame, node.args[2])
        for owner in owners:
            if isinstance(owner, (Instance, ClassOf)) and isinstance(node.args[1].value, str):
                frame.join("attribute", owner.cls, node.args[1].value, value)
        return UNKNOWN
    return None


def method(frame: Frame, called: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a method of a collection gives."""
    owner, name = called.owner, called.name
    if isinstance(owner, (Many, Items)):
        members = item(frozenset({owner}))
        if name in _MEMBERS:
            return union([members, *passed.positional[1:2]])
        if name == "items":
            return many(frozenset({Items((UNKNOWN, members))}))
        if name in {"values", "copy", "union", "difference", "intersection", "most_common"}:
            return many(members)
        return UNKNOWN
    if isinstance(owner, Method) and name == "get" and owner.name in {"cleaned_data", "validated_data"}:
        from . import attributes

        return attributes.member(frame, owner, passed.positional[0] if passed.positional else UNKNOWN, node)
    return None


def grow(frame: Frame, node: ast.Attribute, passed: Arguments) -> None:
    """Follow ``collection.append(value)`` and its relatives."""
    from . import assignments

    if node.attr not in _GROWING or not any(passed.positional) or not isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript)):
        return
    if isinstance(node.value, ast.Name):
        before = frame.env.get(node.value.id, UNKNOWN)
        if any(isinstance(each, (Rows, Instance, FunctionOf, Text, ClassOf)) for each in before):
            return
    elif not isinstance(node.value, ast.Attribute) or _is_rows(frame, node.value):
        return
    value = passed.positional[-1]
    assignments.grow(frame, node.value, item(value) if node.attr in {"extend", "update"} else value)


def _is_rows(frame: Frame, node: ast.expr) -> bool:
    from . import expressions

    return any(isinstance(each, (Rows, Method)) for each in expressions.evaluate(frame, node))
