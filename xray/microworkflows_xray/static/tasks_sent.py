"""Tasks and callbacks: functions that are handed to a queue, to ``on_commit``, or to a thread, and so are called later."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .engine import Frame
from .values import UNKNOWN, ClassOf, FunctionOf, Instance, Method, Value

if TYPE_CHECKING:
    from .calling import Arguments

_ENQUEUES = frozenset(
    {
        "delay",
        "delay_on_commit",
        "apply_async",
        "apply_async_on_commit",
        "s",
        "si",
        "signature",
        "enqueue",
        "aenqueue",
        "send",
        "send_with_options",
        "schedule",
        "apply",
        "now",
        "defer",
        "using",
    }
)
_TAKES = frozenset(
    {
        "enqueue",
        "enqueue_in",
        "enqueue_at",
        "enqueue_call",
        "submit",
        "run_in_executor",
        "call_later",
        "call_soon",
        "async_task",
        "create_task",
    }
)


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Follow ``task.delay(…)`` and its relatives to the task's function, and ``queue.enqueue(function, …)`` to what it is given."""
    from . import calling

    owner = method.owner
    if isinstance(owner, FunctionOf):
        if method.name in _ENQUEUES:
            arguments = (
                _unpacked(frame, passed, node) if method.name.startswith(("apply", "signature")) else passed
            )
            calling.invoke(frame, owner, arguments, node, "task")
        return frozenset({owner}) if method.name in {"s", "si", "signature", "using", "options"} else UNKNOWN
    if isinstance(owner, (ClassOf, Instance)) and method.name in {"delay", "apply_async", "s", "si"}:
        run = frame.engine.classes.method(owner.cls, "run")
        if run:
            calling.invoke(frame, FunctionOf(run, owner), passed, node, "task")
        return UNKNOWN
    if method.name in _TAKES:
        handed(frame, passed, node, "task")
    return None


def later(frame: Frame, passed: Arguments, node: ast.Call) -> None:
    """Follow ``on_commit(function)``."""
    handed(frame, passed, node, "on_commit")


def handed(frame: Frame, passed: Arguments, node: ast.Call, how: str) -> None:
    """Note that functions passed as arguments are called later, the rest of the arguments with them."""
    from . import calling

    for position, value in enumerate([*passed.positional, *passed.named.values()]):
        for each in value:
            function = each.owner if isinstance(each, Method) and each.name in _ENQUEUES else each
            if isinstance(function, FunctionOf):
                rest = calling.Arguments(passed.positional[position + 1 :], passed.named)
                calling.invoke(frame, function, rest, node, how if function is each else "task")


def _unpacked(frame: Frame, passed: Arguments, node: ast.Call) -> Arguments:
    """Give the arguments that ``apply_async(args=[…], kwargs={…})`` passes."""
    from . import calling, expressions

    unpacked = calling.Arguments()
    first = passed.named_nodes.get("args") or (passed.nodes[0] if passed.nodes else None)
    second = passed.named_nodes.get("kwargs") or (passed.nodes[1] if len(passed.nodes) > 1 else None)
    if isinstance(first, (ast.List, ast.Tuple)):
        unpacked.positional = [expressions.evaluate(frame, each) for each in first.elts]
    if isinstance(second, ast.Dict):
        for key, value in zip(second.keys, second.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                unpacked.named[key.value] = expressions.evaluate(frame, value)
    return unpacked
