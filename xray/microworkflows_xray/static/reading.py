"""Read a function or a module's level: set up what its names are, then go through its statements."""

from __future__ import annotations

import ast

from . import guesses, hints, statements
from .engine import Engine, Frame
from .sources import Function, Module
from .values import UNKNOWN, ClassOf, Instance, Rows, Type, Value, many, union


def read_module(engine: Engine, module: Module) -> None:
    """Read what stands at a module's level, class bodies included."""
    frame = Frame(engine, module, f"module {module.name}")
    statements.run(frame, module.tree.body)
    for name, value in frame.env.items():
        frame.join("global", module.name, name, value)


def read_function(engine: Engine, function: Function) -> None:
    """Read a function's body."""
    frame = Frame(engine, function.module, function.name, function, function.cls)
    frame.env.update(engine.closures.get(function.name, {}))
    arguments = function.node.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    if function.cls and names and "staticmethod" not in function.decorators:
        frame.this = this_of(frame, function, names[0])
        frame.env[names[0]] = frame.this
    defaults = _defaults(frame, arguments)
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if each.arg in frame.env and function.cls and each.arg == names[0]:
            continue
        frame.env[each.arg] = _parameter(frame, function, each, defaults.get(each.arg, UNKNOWN))
    for special in (arguments.vararg, arguments.kwarg):
        if special is not None:
            frame.env[special.arg] = frame.get("parameter", function.name, special.arg)
    statements.run(frame, function.node.body)
    if not frame.engine.peek("result", function.name):  # its annotation says what its code does not
        frame.join("result", function.name, "", hints.value(frame, function.node.returns))
    for nested in ast.walk(function.node):
        if nested is not function.node and isinstance(nested, (ast.FunctionDef, ast.AsyncFunctionDef)):
            engine.close_over(f"{function.name}.{nested.name}", frame.env)


def this_of(frame: Frame, function: Function, name: str) -> Value:
    """Tell what ``self`` or ``cls`` is in a method."""
    engine, cls = frame.engine, function.cls
    models = engine.registry.concrete(cls)
    known = frame.get("parameter", function.name, name)
    if "classmethod" in function.decorators or name == "cls":
        return frozenset(ClassOf(each) for each in models) if models else frozenset({ClassOf(cls, open=True)})
    if models:
        here: list[Type] = [Instance(each) for each in models]
        return union([frozenset(here)])
    if engine.classes.is_a(
        cls,
        "django.db.models.manager.BaseManager",
        "django.db.models.query.QuerySet",
        "BaseManager",
        "QuerySet",
    ):
        rows = [Rows(model, cls) for model in engine.registry.models_managed_by(cls)]
        return union([known, frozenset(rows)]) or frozenset({Instance(cls, open=True)})
    return frozenset({Instance(cls, open=True)})


def _defaults(frame: Frame, arguments: ast.arguments) -> dict[str, Value]:
    """Tell what parameters are that a call leaves out."""
    positional = [*arguments.posonlyargs, *arguments.args]
    given = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {
        each.arg: frame.engine.names.expression(frame.module, node)
        for each, node in given
        if node is not None
    }


def _parameter(frame: Frame, function: Function, node: ast.arg, default: Value) -> Value:
    """Tell what a parameter is: from its annotation, its default and from calls, or else from its name."""
    annotated = hints.value(frame, node.annotation) if node.annotation is not None else UNKNOWN
    called = guesses.narrow(frame, function.cls, frame.get("parameter", function.name, node.arg))
    called = guesses.narrow_by_name(frame, node.arg, guesses.narrow_to(frame, annotated, called))
    ruled = guesses.framework_parameter(frame, function, node.arg)
    found = union([annotated, called, ruled, default])
    return found or guesses.by_name(frame, node.arg) or guesses.own_parameter(frame, function.cls, node.arg)


def result_of(function: Function, value: Value) -> Value:
    """Turn what is returned or yielded into what a call gives."""
    return many(value) if _yields(function) else value


def _yields(function: Function) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(function.node))
