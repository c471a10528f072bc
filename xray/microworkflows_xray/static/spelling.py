"""Spell out the dotted name that an expression means in its module, as far as imports and definitions there tell."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator

from microworkflows_xray.static.sources import Module


def dotted(module: Module, node: ast.AST) -> str:
    """Give the dotted name of a name or attribute; empty for any other expression. A name that the module does not bind is a builtin."""
    if isinstance(node, ast.Name):
        return _bound(module).get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        owner = dotted(module, node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def last(node: ast.AST) -> str:
    """Give the last part of a name or attribute, whatever stands before it; empty for any other expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def imported(module: Module, node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """Give the names that an import statement binds, each with the dotted name it stands for; ``*`` for all."""
    if isinstance(node, ast.Import):
        return [
            (each.asname or each.name.split(".")[0], each.name if each.asname else each.name.split(".")[0])
            for each in node.names
        ]
    base = module.resolve(node.level, node.module)
    return [
        ("*", base) if each.name == "*" else (each.asname or each.name, f"{base}.{each.name}")
        for each in node.names
    ]


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """Give the value of the first of these keywords that a call has."""
    return next((each.value for name in names for each in call.keywords if each.arg == name), None)


@functools.cache
def nodes(module: Module) -> tuple[ast.AST, ...]:
    """Give the imports, definitions and calls of a module, in no particular order; the tree is walked once for all finders."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Call)
    return tuple(node for node in ast.walk(module.tree) if isinstance(node, kinds))


@functools.cache
def _bound(module: Module) -> dict[str, str]:
    """Map each name that a module imports or defines at its level, or imports further in, to the dotted name it stands for."""
    names: dict[str, str] = {}
    for node in nodes(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, target in imported(module, node):
                names.setdefault(name, target)
    for name in _defined(module.tree.body):
        names.setdefault(name, f"{module.name}.{name}")
    return names


def _defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Give the names that statements at a module's level bind, those inside of ``if``, ``try`` and ``with`` too."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            continue
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        yield from (target.id for target in targets if isinstance(target, ast.Name))
        for block in ("body", "orelse", "finalbody"):
            yield from _defined(getattr(node, block, ()))
        for handler in getattr(node, "handlers", ()):
            yield from _defined(handler.body)
