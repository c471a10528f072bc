"""Go through statements in order: bind names, follow branches, and keep what is assigned, returned and yielded."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

from . import assignments, expressions, frameworks, hints
from .engine import Frame
from .names import is_signal
from .spelling import imported
from .values import UNKNOWN, ClassOf, FunctionOf, Instance, Outside, Value, item, many, union


def run(frame: Frame, body: Iterable[ast.stmt]) -> None:
    """Read statements; the frame's variables hold afterwards what they may be."""
    for node in body:
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            handler(frame, node)
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    expressions.evaluate(frame, child)


def _expression(frame: Frame, node: ast.Expr) -> None:
    value = node.value
    if isinstance(value, ast.Await):
        value = value.value
    expressions.evaluate(frame, value)


def _assign(frame: Frame, node: ast.Assign) -> None:
    value = expressions.evaluate(frame, node.value)
    if (
        frame.function is None
        and not frame.cls
        and is_signal(node.value)
        and isinstance(node.targets[0], ast.Name)
    ):
        value = frozenset({Outside(f"{frame.module.name}.{node.targets[0].id}")})
    for target in node.targets:
        assignments.bind(frame, target, value)


def _ann_assign(frame: Frame, node: ast.AnnAssign) -> None:
    value = expressions.evaluate(frame, node.value) if node.value is not None else UNKNOWN
    assignments.bind(frame, node.target, union([value, hints.value(frame, node.annotation)]))


def _aug_assign(frame: Frame, node: ast.AugAssign) -> None:
    value = expressions.evaluate(frame, node.value)
    before = expressions.evaluate(frame, node.target) if isinstance(node.target, ast.Name) else UNKNOWN
    assignments.bind(frame, node.target, union([before, value]))


def _for(frame: Frame, node: ast.For | ast.AsyncFor) -> None:
    rows = expressions.iterate(frame, node.iter)
    assignments.bind(frame, node.target, rows)
    _branches(frame, [node.body, node.body + node.orelse])


def _while(frame: Frame, node: ast.While) -> None:
    expressions.evaluate(frame, node.test)
    _branches(frame, [node.body, node.body + node.orelse])


def _if(frame: Frame, node: ast.If) -> None:
    expressions.evaluate(frame, node.test)
    before = dict(frame.env)
    narrow(frame, node.test)
    run(frame, node.body)
    after = frame.env
    frame.env = before
    run(frame, node.orelse)
    if not _leaves(node.body):
        frame.env = _merged(after, frame.env) if not _leaves(node.orelse) else after


def narrow(frame: Frame, test: ast.expr) -> None:
    """Take from ``isinstance(x, X)`` what ``x`` is in the branch."""
    for each in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
        if not (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Name)
            and each.func.id == "isinstance"
            and len(each.args) == 2
        ):
            continue
        subject, kinds = each.args
        found = [
            frame.engine.instances(kind.cls)
            for node in (kinds.elts if isinstance(kinds, ast.Tuple) else [kinds])
            for kind in expressions.evaluate(frame, node)
            if isinstance(kind, ClassOf)
        ]
        if isinstance(subject, ast.Name) and any(found):
            frame.env[subject.id] = union(found)


def _try(frame: Frame, node: ast.Try) -> None:
    run(frame, node.body)
    _branches(frame, [node.orelse, *(handler.body for handler in node.handlers)], all_optional=True)
    run(frame, node.finalbody)


def _with(frame: Frame, node: ast.With | ast.AsyncWith) -> None:
    for each in node.items:
        value = expressions.evaluate(frame, each.context_expr)
        entered = union([_entered(frame, each.context_expr, value)])
        if each.optional_vars is not None:
            assignments.bind(frame, each.optional_vars, entered)
    run(frame, node.body)


def _entered(frame: Frame, node: ast.expr, value: Value) -> Value:
    found = []
    for kind in value:
        if isinstance(kind, Instance):
            method = frame.engine.classes.method(kind.cls, "__enter__")
            found.append(frame.get("result", method) if method else frozenset({kind}))
    return union([*found, item(value)]) or value


def _return(frame: Frame, node: ast.Return) -> None:
    if node.value is not None and frame.function is not None:
        value = expressions.evaluate(frame, node.value)
        frame.join("result", frame.function.name, "", value)


def _function(frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    for decorator in node.decorator_list:
        expressions.decorate(frame, node, decorator)
    for default in (*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)):
        expressions.evaluate(frame, default)
    if frame.function is not None and not frame.cls.endswith(f"{frame.unit}.{node.name}"):
        frame.env[node.name] = frozenset({FunctionOf(f"{frame.unit}.{node.name}")})


def _class(frame: Frame, node: ast.ClassDef) -> None:
    outer, env = frame.cls, frame.env
    prefix = (
        outer
        if outer and frame.function is None
        else frame.unit
        if frame.function is not None
        else frame.module.name
    )
    frame.cls, frame.env = f"{prefix}.{node.name}", dict(env)
    for decorator in node.decorator_list:
        expressions.decorate(frame, node, decorator)
    before = dict(frame.env)
    run(frame, node.body)
    for name, value in frame.env.items():
        if before.get(name) is not value:
            frame.join("attribute", frame.cls, name, value)
    name = frame.cls
    frameworks.by_itself(frame, name, node)
    frame.cls, frame.env = outer, env
    if frame.function is not None:
        frame.env[node.name] = frozenset({ClassOf(name)})


def _import(frame: Frame, node: ast.Import | ast.ImportFrom) -> None:
    if frame.function is not None:
        for name, target in imported(frame.module, node):
            if name != "*":
                frame.env[name] = frame.engine.names.lookup(target)


def _match(frame: Frame, node: ast.Match) -> None:
    expressions.evaluate(frame, node.subject)
    _branches(frame, [case.body for case in node.cases], all_optional=True)


def _branches(frame: Frame, bodies: Iterable[list[ast.stmt]], *, all_optional: bool = False) -> None:
    """Read alternatives from the same start, and unite what they leave."""
    start = frame.env
    results = [start]
    for body in bodies:
        frame.env = dict(start)
        run(frame, body)
        if not _leaves(body) or not all_optional:
            results.append(frame.env)
    merged = results[0]
    for each in results[1:]:
        merged = _merged(merged, each)
    frame.env = merged


def _merged(one: dict[str, Value], other: dict[str, Value]) -> dict[str, Value]:
    merged = dict(one)
    for name, value in other.items():
        before = merged.get(name)
        if before is None:
            merged[name] = value
        elif before is not value:
            merged[name] = union([before, value])
    return merged


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))


def yielded(frame: Frame, value: Value) -> None:
    """Keep what a generator yields: calling it gives many of these."""
    if frame.function is not None:
        frame.join("result", frame.function.name, "", many(value))


def yielded_from(frame: Frame, value: Value) -> None:
    """Keep what a generator passes on."""
    if frame.function is not None:
        frame.join("result", frame.function.name, "", many(item(value)))


_HANDLERS: dict[type[ast.stmt], Callable[[Frame, Any], None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _ann_assign,
    ast.AugAssign: _aug_assign,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.If: _if,
    ast.Try: _try,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Return: _return,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Import: _import,
    ast.ImportFrom: _import,
    ast.Match: _match,
}
if hasattr(ast, "TryStar"):
    _HANDLERS[ast.TryStar] = _try
