"""Evaluate expressions to what they may be, and note on the way what they read, write and call."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from . import admin_hooks, assignments, attributes, calling, dispatching, guesses, signals_sent, statements
from .engine import Frame
from .values import (
    LIMIT,
    UNKNOWN,
    ClassOf,
    FunctionOf,
    Instance,
    Items,
    Many,
    Method,
    Outside,
    Record,
    Rows,
    Text,
    Value,
    item,
    many,
    record,
    text_of,
    union,
)


def evaluate(frame: Frame, node: ast.expr) -> Value:
    """Tell what an expression may be."""
    handler = _HANDLERS.get(type(node))
    if handler is not None:
        return handler(frame, node)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            evaluate(frame, child)
        elif isinstance(child, ast.comprehension):
            evaluate(frame, child.iter)
    return UNKNOWN


def iterate(frame: Frame, node: ast.expr) -> Value:
    """Tell what the members of an expression are; iterating a queryset that a variable holds reads its table."""
    value = evaluate(frame, node)
    if not isinstance(node, ast.Call):
        for each in value:
            if isinstance(each, Rows):
                attributes.read_rows(frame, node, each)
    return union(
        [item(value), *(_iterated(frame, each, node) for each in value if isinstance(each, Instance))]
    )


def _iterated(frame: Frame, owner: Instance, node: ast.expr) -> Value:
    """Tell what an object's own ``__iter__`` goes through."""
    function = frame.engine.classes.method(owner.cls, "__iter__")
    return (
        item(calling.invoke(frame, FunctionOf(function, owner), calling.Arguments(), node))
        if function
        else UNKNOWN
    )


def decorate(
    frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, decorator: ast.expr
) -> None:
    """Take from a decorator that a function receives a signal."""
    value = evaluate(frame, decorator.func if isinstance(decorator, ast.Call) else decorator)
    made = evaluate(frame, decorator) if isinstance(decorator, ast.Call) else value
    if isinstance(node, ast.ClassDef):
        dispatching.decorate_class(frame, made, frame.cls)
    else:
        prefix = frame.cls or (frame.unit if frame.function else frame.module.name)
        dispatching.decorate(frame, made, f"{prefix}.{node.name}")
    if isinstance(decorator, ast.Call):
        arguments = calling.arguments(frame, decorator)
        if any(
            isinstance(each, Outside) and each.name.endswith("dispatch.dispatcher.receiver") for each in value
        ):
            prefix = frame.cls or (frame.unit if frame.function else frame.module.name)
            signals_sent.receive(frame, f"{prefix}.{node.name}", arguments)
        elif isinstance(node, ast.ClassDef) and _decorator_name(decorator) == "register":
            admin_hooks.register(frame, frame.cls, frozenset().union(*arguments.positional))


def _decorator_name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _name(frame: Frame, node: ast.Name) -> Value:
    name = node.id
    if name in frame.env:
        return frame.env[name] or _guessed(frame, name)
    found = frame.engine.names.resolve(frame.module, name)
    if not found or all(isinstance(each, Outside) for each in found):
        learnt = frame.get("global", frame.module.name, name)
        for each in found:
            if isinstance(each, Outside):
                module, _, variable = each.name.rpartition(".")
                if module in frame.engine.sources.modules:
                    learnt = union([learnt, frame.get("global", module, variable)])
        return learnt or found
    return found


def _guessed(frame: Frame, name: str) -> Value:
    return guesses.by_name(frame, name) if frame.function is not None else UNKNOWN


def _constant(frame: Frame, node: ast.Constant) -> Value:
    return (
        frozenset({Text(node.value)}) if isinstance(node.value, str) and len(node.value) < 5000 else UNKNOWN
    )


def _joined(frame: Frame, node: ast.JoinedStr) -> Value:
    """Give an f-string with its unknown parts as ``%s``, which is enough to read SQL; one for each text that its parts may be."""
    found = [""]
    for each in node.values:
        texts = [str(each.value)] if isinstance(each, ast.Constant) else []
        if isinstance(each, ast.FormattedValue):
            texts = sorted(kind.text for kind in evaluate(frame, each.value) if isinstance(kind, Text))
        if len(found) * len(texts) > LIMIT:
            texts = []
        found = [f"{before}{text}" for before in found for text in texts or ["%s"]]
    return frozenset(map(Text, found))


def _attribute(frame: Frame, node: ast.Attribute) -> Value:
    if node.attr == "db_table" and isinstance(node.value, ast.Attribute):
        registry = frame.engine.registry
        classes = [getattr(each, "cls", "") for each in evaluate(frame, node.value.value)]
        if tables := [registry.table(cls) for cls in classes if registry.get(cls)]:
            return frozenset(map(Text, tables))
    owners = evaluate(frame, node.value)
    return attributes.get(frame, owners, node.attr, node)


def _call(frame: Frame, node: ast.Call) -> Value:
    return calling.call(frame, node)


def _subscript(frame: Frame, node: ast.Subscript) -> Value:
    owners = evaluate(frame, node.value)
    key = evaluate(frame, node.slice)
    found: list[Value] = []
    for each in owners:
        if isinstance(each, Rows):
            if isinstance(node.slice, ast.Slice):
                found.append(frozenset({each}))
            else:
                attributes.read_rows(frame, node, each)
                found.append(item(frozenset({each})))
        elif (
            isinstance(each, Items)
            and isinstance(node.slice, ast.Constant)
            and isinstance(node.slice.value, int)
        ):
            index = node.slice.value
            found.append(each.items[index] if -len(each.items) <= index < len(each.items) else UNKNOWN)
        elif isinstance(each, Record) and (name := text_of(key)) is not None:
            found.append(each.get(name))
        elif isinstance(each, (Many, Items, Record)):
            found.append(frozenset({each}) if isinstance(node.slice, ast.Slice) else item(frozenset({each})))
        elif isinstance(each, Method):
            found.append(attributes.member(frame, each, key, node))
        elif isinstance(each, ClassOf):
            found.append(frozenset({each}))
    return union(found)


def _if_exp(frame: Frame, node: ast.IfExp) -> Value:
    evaluate(frame, node.test)
    return union([evaluate(frame, node.body), evaluate(frame, node.orelse)])


def _bool_op(frame: Frame, node: ast.BoolOp) -> Value:
    return union([evaluate(frame, each) for each in node.values])


def _bin_op(frame: Frame, node: ast.BinOp) -> Value:
    left, right = evaluate(frame, node.left), evaluate(frame, node.right)
    if isinstance(node.op, ast.Mod) and any(isinstance(each, Text) for each in left):
        return left
    if isinstance(node.op, ast.Add):
        texts = [each.text for side in (left, right) for each in side if isinstance(each, Text)]
        if len(texts) == 2:
            return frozenset({Text("".join(texts))})
        if len(texts) == 1 and not (left and right):
            return frozenset({Text(f"{texts[0]}%s" if left else f"%s{texts[0]}")})
    return union([left, right])


def _sequence(frame: Frame, node: ast.List | ast.Set) -> Value:
    found = [
        item(evaluate(frame, each.value)) if isinstance(each, ast.Starred) else evaluate(frame, each)
        for each in node.elts
    ]
    return many(union(found))


def _tuple(frame: Frame, node: ast.Tuple) -> Value:
    if any(isinstance(each, ast.Starred) for each in node.elts):
        return _sequence(frame, ast.List(elts=node.elts))
    items = tuple(evaluate(frame, each) for each in node.elts)
    return frozenset({Items(items)}) if any(items) and len(items) < 12 else UNKNOWN


def _dict(frame: Frame, node: ast.Dict) -> Value:
    named: dict[str, Value] = {}
    others: list[Value] = []
    for key, each in zip(node.keys, node.values, strict=True):
        value = evaluate(frame, each)
        if key is None:
            others += [frozenset({kind}) for kind in value if isinstance(kind, (Record, Many))]
        elif (text := text_of(evaluate(frame, key))) is not None:
            named[text] = value
        else:
            others.append(many(value))
    return union([record(named), *others])


def _comprehension(frame: Frame, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Value:
    outer = frame.env
    frame.env = dict(outer)
    for each in node.generators:
        assignments.bind(frame, each.target, iterate(frame, each.iter))
        for condition in each.ifs:
            evaluate(frame, condition)
            statements.narrow(frame, condition)
    if isinstance(node, ast.DictComp):
        evaluate(frame, node.key)
        found = many(evaluate(frame, node.value))
    else:
        found = many(evaluate(frame, node.elt))
    frame.env = outer
    return found


def _lambda(frame: Frame, node: ast.Lambda) -> Value:
    outer = frame.env
    frame.env = dict(outer)
    for each in (*node.args.args, *node.args.kwonlyargs):
        if each.arg != "self":
            frame.env[each.arg] = UNKNOWN
    for each, default in zip(reversed(node.args.args), reversed(node.args.defaults), strict=False):
        frame.env[each.arg] = evaluate(frame, default)
    evaluate(frame, node.body)
    frame.env = outer
    return UNKNOWN


def _named(frame: Frame, node: ast.NamedExpr) -> Value:
    value = evaluate(frame, node.value)
    assignments.bind(frame, node.target, value)
    return value


def _inner(frame: Frame, node: ast.Await | ast.Starred) -> Value:
    return evaluate(frame, node.value)


def _yield(frame: Frame, node: ast.Yield) -> Value:
    if node.value is not None:
        statements.yielded(frame, evaluate(frame, node.value))
    return UNKNOWN


def _yield_from(frame: Frame, node: ast.YieldFrom) -> Value:
    statements.yielded_from(frame, evaluate(frame, node.value))
    return UNKNOWN


_HANDLERS: dict[type[ast.expr], Callable[[Frame, Any], Value]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.JoinedStr: _joined,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.IfExp: _if_exp,
    ast.BoolOp: _bool_op,
    ast.BinOp: _bin_op,
    ast.List: _sequence,
    ast.Set: _sequence,
    ast.Tuple: _tuple,
    ast.Dict: _dict,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.Lambda: _lambda,
    ast.NamedExpr: _named,
    ast.Await: _inner,
    ast.Starred: _inner,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
}
