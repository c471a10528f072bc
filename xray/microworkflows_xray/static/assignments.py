"""Bind values to targets: variables, attributes, members of collections, and tuples of these."""

from __future__ import annotations

import ast

from . import expressions, guesses
from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Items, Value, item, many, record, text_of, union


def bind(frame: Frame, target: ast.expr, value: Value) -> None:
    """Let a target be a value from here on."""
    if isinstance(target, ast.Name):
        frame.env[target.id] = guesses.narrow_by_name(frame, target.id, value)
        frame.assigned.pop(target.id, None)
    elif isinstance(target, (ast.Tuple, ast.List)):
        for index, each in enumerate(target.elts):
            if isinstance(each, ast.Starred):
                bind(frame, each.value, many(item(value)))
            else:
                bind(frame, each, _part(value, index))
    elif isinstance(target, ast.Attribute):
        _attribute(frame, target, value)
    elif isinstance(target, ast.Subscript):
        key = text_of(expressions.evaluate(frame, target.slice))
        put(frame, target.value, many(value) if key is None else record({key: value}))


def grow(frame: Frame, collection: ast.expr, value: Value) -> None:
    """Let a collection have one more kind of member."""
    put(frame, collection, many(value))


def put(frame: Frame, collection: ast.expr, members: Value) -> None:
    """Let a collection be one with these members, too."""
    if not members:
        return
    if isinstance(collection, ast.Name):
        if frame.function is not None and collection.id not in frame.env:  # a registry at the module's level
            frame.join("global", frame.module.name, collection.id, members)
        frame.env[collection.id] = union([frame.env.get(collection.id, UNKNOWN), members])
    elif isinstance(collection, ast.Attribute):
        _attribute(frame, collection, members, grows=True)
    elif isinstance(collection, ast.Subscript):
        key = text_of(expressions.evaluate(frame, collection.slice))
        put(frame, collection.value, many(members) if key is None else record({key: members}))


def _attribute(frame: Frame, target: ast.Attribute, value: Value, *, grows: bool = False) -> None:
    owners = expressions.evaluate(frame, target.value)
    if isinstance(target.value, (ast.Name, ast.Attribute)) and not grows:
        frame.assigned.setdefault(ast.unparse(target.value), set()).add(target.attr)
    for owner in owners:
        if isinstance(owner, (Instance, ClassOf)):
            registry = frame.engine.registry
            if registry.get(owner.cls) is not None and registry.column(owner.cls, target.attr) is not None:
                continue  # a field: the registry knows better what it holds
            frame.join("attribute", owner.cls, target.attr, value)


def _part(value: Value, index: int) -> Value:
    found = []
    for each in value:
        if isinstance(each, Items):
            found.append(each.items[index] if index < len(each.items) else UNKNOWN)
        else:
            found.append(item(frozenset({each})))
    return union(found)
