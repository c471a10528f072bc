"""Calls: pass arguments on to functions of the code, construct objects, and hand the rest to the rules of ORM and frameworks."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from . import (
    builtin,
    dispatching,
    expressions,
    frameworks,
    guesses,
    outside,
    queries,
    rows,
    saving,
    signals_sent,
    sql_in_code,
    tasks_sent,
)
from .engine import Frame
from .sources import Function
from .spelling import last
from .values import (
    UNKNOWN,
    ClassOf,
    Decorated,
    FunctionOf,
    Instance,
    Many,
    Method,
    Outside,
    Record,
    Rows,
    Super,
    Type,
    Value,
    item,
    many,
    record,
    union,
)

_CHOICES = ("ModelChoiceField", "RelatedField")
"""Fields of forms and serializers that give a row of their queryset."""


@dataclass
class Arguments:
    """What a call passes."""

    positional: list[Value] = field(default_factory=list)
    named: dict[str, Value] = field(default_factory=dict)
    nodes: list[ast.expr] = field(default_factory=list)
    named_nodes: dict[str, ast.expr] = field(default_factory=dict)
    spread: bool = False
    """True if ``*args`` or ``**kwargs`` pass more than can be seen."""

    def get(self, index: int, name: str) -> Value:
        """Give an argument by position or name."""
        return self.positional[index] if index < len(self.positional) else self.named.get(name, UNKNOWN)


def arguments(frame: Frame, node: ast.Call) -> Arguments:
    """Evaluate a call's arguments."""
    found = Arguments()
    for each in node.args:
        value = expressions.evaluate(frame, each)
        if isinstance(each, ast.Starred):
            found.spread = True
        else:
            found.positional.append(value)
            found.nodes.append(each)
    for keyword in node.keywords:
        value = expressions.evaluate(frame, keyword.value)
        if keyword.arg is None:
            found.spread = True
            for kind in value:
                for name, known in kind.fields if isinstance(kind, Record) else ():
                    found.named[name] = known | found.named.get(name, UNKNOWN)
        else:
            found.named[keyword.arg] = value
            found.named_nodes[keyword.arg] = keyword.value
    return found


def call(frame: Frame, node: ast.Call) -> Value:
    """Tell what a call gives."""
    name = last(node.func)
    if isinstance(node.func, ast.Name) and name not in frame.env:
        found = builtin.call(frame, name, node)
        if found is not None:
            return found
    if (
        isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Call)
        and name in rows.METHODS
    ):
        frame.chained.add(id(node.func.value))
    functions = expressions.evaluate(frame, node.func)
    how = frame.how
    if name == "on_commit":
        frame.how = "on_commit"
    passed = arguments(frame, node)
    if name == "on_commit":
        tasks_sent.later(frame, passed, node)
    frame.how = how
    if isinstance(node.func, ast.Attribute):
        builtin.grow(frame, node.func, passed)
    sql_in_code.call(frame, name, passed, node)
    results = [apply(frame, function, passed, node) for function in sorted(functions, key=repr)]
    loaded = frame.engine.names.loaders.call(
        name, [frame.engine.names.expression(frame.module, each) for each in node.args]
    )
    return loaded or union(results)


def apply(frame: Frame, function: Type, passed: Arguments, node: ast.Call) -> Value:
    """Tell what calling one thing gives."""
    if isinstance(function, FunctionOf):
        return invoke(frame, function, passed, node)
    if isinstance(function, ClassOf):
        return construct(frame, function, passed, node)
    if isinstance(function, Method):
        return _method(frame, function, passed, node)
    if isinstance(function, Decorated):
        dispatching.wrapped(frame, function, node)
        return UNKNOWN
    if isinstance(function, Outside):
        return outside.call(frame, function.name, passed, node)
    if isinstance(function, Instance):
        found = frame.engine.classes.method(function.cls, "__call__")
        if found:
            return invoke(frame, FunctionOf(found, function), passed, node)
        if (
            function.cls in frame.engine.sources.classes
        ):  # annotated as an object, but it is the class that is called
            return construct(frame, ClassOf(function.cls, function.open), passed, node)
    return UNKNOWN


def invoke(frame: Frame, function: FunctionOf, passed: Arguments, node: ast.AST, how: str = "") -> Value:
    """Pass arguments to a function of the code, and to its overrides if the object may be of a subclass."""
    engine = frame.engine
    targets = [(function.name, how)]
    owner = function.owner
    if isinstance(owner, (Instance, ClassOf)) and owner.open:
        method = function.name.rpartition(".")[2]
        targets += [
            (each, how or "template method")
            for each in engine.classes.overrides(owner.cls, method)
            if each != function.name
        ]
    results = []
    for name, kind in targets:
        frame.call(node, name, kind)
        bind(frame, engine.sources.functions[name], owner, passed, node)
        results.append(frame.get("result", name))
    found = union(results)
    return guesses.narrow(frame, owner.cls, found) if isinstance(owner, (Instance, ClassOf)) else found


def bind(frame: Frame, function: Function, owner: Type | None, passed: Arguments, call: ast.AST) -> None:
    """Let a function's parameters be what a call passes."""
    node = function.node.args
    names = [each.arg for each in (*node.posonlyargs, *node.args)]
    if function.cls and owner is not None and "staticmethod" not in function.decorators and names:
        first = names.pop(0)
        if isinstance(owner, Rows):
            frame.join("parameter", function.name, first, frozenset({owner}))
    for name, value in (*zip(names, passed.positional, strict=False), *passed.named.items()):
        if name in function.run:
            dispatching.passed(frame, value, call)
    for name, value in zip(names, passed.positional, strict=False):
        frame.join("parameter", function.name, name, value)
    if node.vararg is not None and len(passed.positional) > len(names):
        extra = union(passed.positional[len(names) :])
        frame.join(
            "parameter", function.name, node.vararg.arg, frozenset({Many(extra)}) if extra else UNKNOWN
        )
    known = {each.arg for each in (*node.args, *node.kwonlyargs)}
    for name, value in passed.named.items():
        if name in known:
            frame.join("parameter", function.name, name, value)
    if node.kwarg is not None:
        rest = {name: value for name, value in passed.named.items() if name not in known}
        frame.join("parameter", function.name, node.kwarg.arg, record(rest))


def construct(frame: Frame, kind: ClassOf, passed: Arguments, node: ast.Call) -> Value:
    """Tell what calling a class gives."""
    engine = frame.engine
    if engine.registry.concrete(kind.cls):
        return frozenset(Instance(each, new=True) for each in engine.registry.concrete(kind.cls))
    made = queries.construct(frame, kind.cls, passed)
    if made:
        return made
    if engine.classes.is_a(kind.cls, *_CHOICES):
        chosen = item(passed.get(0, "queryset"))
        return many(chosen) if "Multiple" in kind.cls or "many" in passed.named_nodes else chosen
    if (
        kind.cls not in engine.sources.classes
    ):  # itertools.chain, functools.partial and threading.Thread are classes
        given = outside.call(frame, kind.cls, passed, node)
        if given:
            return given
    method = engine.classes.method(kind.cls, "__init__")
    if method:
        frame.call(node, method)
        bind(frame, engine.sources.functions[method], Instance(kind.cls), passed, node)
    else:
        for (
            name,
            value,
        ) in passed.named.items():  # a dataclass, or a framework's class that keeps what it is given
            if kind.cls in engine.sources.classes and name not in {"instance", "queryset"}:
                frame.join("attribute", kind.cls, name, value)
    return frozenset({Instance(kind.cls, kind.open)})


def _method(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value:
    owner = method.owner
    dispatching.hooks(frame, method, node)
    for rule in (tasks_sent.call, signals_sent.call, rows.call, saving.call, frameworks.call, builtin.method):
        found = rule(frame, method, passed, node)
        if found is not None:
            return found
    if isinstance(owner, Super):
        return UNKNOWN
    return (
        guesses.by_name(frame, method.name.removeprefix("get_"))
        if method.name.startswith("get_")
        else UNKNOWN
    )
