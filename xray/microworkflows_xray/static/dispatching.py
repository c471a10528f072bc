"""Calls whose target the code does not spell out: methods named by a string that is made up, wrapped functions, requests passed on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from .engine import Frame
from .values import ClassOf, Decorated, FunctionOf, Instance, Method, Value

_LEAST = 3
"""A pattern with fewer letters of its own, such as ``%s_x``, says nothing."""


def by_pattern(frame: Frame, owners: Value, patterns: Iterable[str]) -> list[Value]:
    """Tell which methods ``getattr(owner, name)`` may mean.

    Args:
        patterns: Names with ``%s`` for what only a run knows, such as ``handle_%s``. Without any, the candidates are the methods whose
            names stand as strings in the owner's class: the actions that it permits.
    """
    shapes = [
        re.compile(".*".join(map(re.escape, each.split("%s"))))
        for each in patterns
        if len(each.replace("%s", "").strip("_")) >= _LEAST
    ]
    found: list[Value] = []
    for owner in owners:
        if not isinstance(owner, (Instance, ClassOf)):
            continue
        classes = frame.engine.classes
        named = classes.strings(owner.cls) if not shapes else frozenset()
        for name in classes.methods(owner.cls):
            if name in named or any(shape.fullmatch(name) for shape in shapes):
                function = classes.method(owner.cls, name)
                if function:
                    found.append(frozenset({FunctionOf(function, owner)}))
    return found


def decorate(frame: Frame, decorator: Value, function: str) -> None:
    """Take in that a decorator of the project's, or what one gives, is applied to a function."""
    engine = frame.engine
    for each in decorator:
        if isinstance(each, FunctionOf) and each.name in engine.sources.functions and each.name != function:
            engine.decorated.setdefault(each.name, set()).add(function)
            parameters = engine.sources.functions[each.name].node.args
            for parameter in (*parameters.posonlyargs, *parameters.args)[:1]:
                frame.join("parameter", each.name, parameter.arg, frozenset({Decorated(each.name)}))


def wrapped(frame: Frame, function: Decorated, node: ast.AST) -> None:
    """Note that a wrapper calls the functions that its decorator is applied to."""
    for name in sorted(frame.engine.decorated.get(function.decorator, ())):
        frame.call(node, name, "callback")


def hooks(frame: Frame, method: Method, node: ast.AST) -> None:
    """Note what of the code a library's method calls on the object that it is called of."""
    owner, engine = method.owner, frame.engine
    if not isinstance(owner, Instance) or engine.registry.get(owner.cls) is not None:
        return
    for cls in (owner.cls, *(engine.classes.subclasses(owner.cls) if owner.open else ())):
        for function in engine.inherited.hooks(cls, method.name, method.after):
            frame.call(node, function, "template method")
