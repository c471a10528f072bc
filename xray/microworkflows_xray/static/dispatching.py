"""Calls whose target the code does not spell out: methods named by a string that is made up, wrapped functions, requests passed on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from .engine import Frame
from .values import ClassOf, Decorated, FunctionOf, Instance, Method, Type, Value

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
        for cls in (owner.cls, *(classes.subclasses(owner.cls) if owner.open else ())):
            named = classes.strings(cls) if not shapes else frozenset()
            for name in classes.methods(cls):
                if name in named or any(shape.fullmatch(name) for shape in shapes):
                    function = classes.method(cls, name)
                    if function:
                        found.append(frozenset({FunctionOf(function, owner)}))
    return found


def decorate(frame: Frame, decorator: Value, function: str) -> None:
    """Take in that a decorator of the project's, or what one gives, is applied to a function."""
    for name in _decorators(frame, decorator):
        if name != function:
            frame.engine.decorated.setdefault(name, set()).add(function)
            _apply(frame, name, Decorated(name))


def decorate_class(frame: Frame, decorator: Value, cls: str) -> None:
    """As :func:`decorate`, of a class: most put it into a registry."""
    for name in _decorators(frame, decorator):
        _apply(frame, name, ClassOf(cls))


def _decorators(frame: Frame, value: Value) -> list[str]:
    functions = frame.engine.sources.functions
    return sorted(each.name for each in value if isinstance(each, FunctionOf) and each.name in functions)


def _apply(frame: Frame, decorator: str, value: Type) -> None:
    function = frame.engine.sources.functions[decorator]
    names = [each.arg for each in (*function.node.args.posonlyargs, *function.node.args.args)]
    for name in names[1:2] if function.cls and "staticmethod" not in function.decorators else names[:1]:
        frame.join("parameter", decorator, name, frozenset({value}))


def passed(frame: Frame, value: Value, node: ast.AST) -> None:
    """Note that a function runs which is passed to one that calls its parameter: here is where the code says which."""
    for each in sorted(value, key=repr):
        if isinstance(each, FunctionOf) and each.name != frame.unit:
            frame.call(node, each.name)


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
