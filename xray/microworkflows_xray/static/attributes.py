"""What an attribute of a value is: a member that the code defines, a relation of a model, or a framework's own."""

from __future__ import annotations

import ast

from . import frameworks, guesses, queries
from .engine import Frame
from .values import (
    UNKNOWN,
    ClassOf,
    FunctionOf,
    Instance,
    Many,
    Method,
    Outside,
    Rows,
    Super,
    Text,
    Type,
    Value,
    union,
)

read_rows = queries.read
_REPLACED = frozenset({"delete", "save"})


def get(frame: Frame, owners: Value, name: str, node: ast.expr) -> Value:
    """Tell what ``owner.name`` may be."""
    if not owners:
        return _of_unknown(frame, name)
    found = [_get(frame, owner, name, node) for owner in owners]
    united = union(found)
    if all(isinstance(each, Method) and isinstance(each.owner, (Method, Instance)) for each in united):
        return union([_of_unknown(frame, name), united]) if _is_plain(frame, united) else united
    return united


def member(frame: Frame, owner: Method, key: Value, node: ast.expr) -> Value:
    """Tell what ``owner.name[key]`` may be, such as ``form.cleaned_data["product"]``."""
    for each in key:
        if isinstance(each, Text) and owner.name in {"cleaned_data", "validated_data", "initial_data"}:
            return frameworks.field_value(frame, owner.owner, each.text)
    return UNKNOWN


def own(frame: Frame, owner: Type, cls: str, name: str, node: ast.expr, *, after: str = "") -> Value:
    """Look for a member in the code: in the class and its bases, and in subclasses if the object may be of one."""
    engine = frame.engine
    order = engine.classes.mro(cls)
    if after:
        order = order[order.index(after) + 1 :] if after in order else engine.classes.mro(after)[1:]
    found: list[Value] = []
    for base in order:
        function = f"{base}.{name}"
        if function in engine.sources.functions:
            found.append(_function(frame, function, owner, node))
            break
        if function in engine.sources.classes:
            found.append(frozenset({ClassOf(function)}))
            break
        found.append(frame.get("attribute", base, name))
    if getattr(owner, "open", False) and not after:
        defined = any(found)
        for subclass in engine.classes.subclasses(cls):
            function = f"{subclass}.{name}" if defined else engine.classes.method(subclass, name) or ""
            if function in engine.sources.functions:
                if not defined or is_property(
                    frame, function
                ):  # the overrides of a method are called with it
                    found.append(_function(frame, function, owner, node))
            else:
                found.append(frame.get("attribute", subclass, name))
    return union(found)


def is_property(frame: Frame, function: str) -> bool:
    """True for a method that is read like an attribute."""
    return any("property" in each.lower() for each in frame.engine.sources.functions[function].decorators)


def _function(frame: Frame, function: str, owner: Type, node: ast.expr) -> Value:
    if is_property(frame, function):
        frame.call(node, function)
        return frame.get("result", function)
    return frozenset({FunctionOf(function, owner)})


def _is_plain(frame: Frame, value: Value) -> bool:
    """True for members of objects that are no models, and that neither the code nor a framework's rule defines."""
    owners = [each.owner for each in value if isinstance(each, Method)]
    return not any(isinstance(owner, Instance) and frame.engine.registry.get(owner.cls) for owner in owners)


def _of_unknown(frame: Frame, name: str) -> Value:
    return guesses.by_name(frame, name) if frame.function is not None else UNKNOWN


def _get(frame: Frame, owner: Type, name: str, node: ast.expr) -> Value:
    if isinstance(owner, Outside):
        found = frame.engine.names.attribute(owner, name)
        return found or (
            frame.get("global", owner.name, name) if owner.name in frame.engine.sources.modules else UNKNOWN
        )
    if isinstance(owner, Super):
        cls = getattr(owner.owner, "cls", "")
        found = own(frame, owner.owner, cls, name, node, after=owner.cls) if cls else UNKNOWN
        return found or frozenset({Method(owner.owner, name, owner.cls)})
    if isinstance(owner, ClassOf):
        return _of_class(frame, owner, name, node)
    if isinstance(owner, Instance):
        return _of_instance(frame, owner, name, node)
    if isinstance(owner, Rows):
        found = own(frame, owner, owner.cls, name, node) if owner.cls else UNKNOWN
        if not found and name == "model":
            return frozenset({ClassOf(owner.model)})
        return found or frozenset({Method(owner, name)})
    if isinstance(owner, Method) and owner.name == "_meta":
        return frameworks.meta(frame, owner.owner, name)
    if isinstance(owner, (Method, Many, FunctionOf)) or not isinstance(owner, Text):
        return frozenset({Method(owner, name)})
    return UNKNOWN


def _of_class(frame: Frame, owner: ClassOf, name: str, node: ast.expr) -> Value:
    registry = frame.engine.registry
    managers = [registry.manager(each, name) for each in registry.concrete(owner.cls)]
    found: Value = frozenset(each for each in managers if each is not None)
    return found or own(frame, owner, owner.cls, name, node) or frozenset({Method(owner, name)})


def _of_instance(frame: Frame, owner: Instance, name: str, node: ast.expr) -> Value:
    if name == "__class__":
        return frozenset({ClassOf(owner.cls, owner.open)})
    registry = frame.engine.registry
    if registry.get(owner.cls) is not None:
        related = registry.attribute(owner.cls, name)
        if related:
            queries.follow(frame, owner, name, related, node)
            return related
        column = registry.column(owner.cls, name)
        if column is not None:
            if isinstance(getattr(node, "ctx", None), ast.Load):
                frame.access(node, column[0], "read", "attribute", (column[1],))
            return UNKNOWN
    found = own(frame, owner, owner.cls, name, node)
    if found and name in _REPLACED and not frame.engine.classes.method(owner.cls, name):
        found |= {Method(owner, name)}  # assigned to one object, it replaces the method of no other
    special = frameworks.attribute(frame, owner, name)
    return union([found, special]) or frozenset({Method(owner, name)})
