"""Spell out the dotted name that an expression means in its module, as far as imports and definitions there tell."""

from __future__ import annotations

import ast
import functools

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


def keyword(call: ast.Call, *names: str) -> ast.expr | None:
    """Give the value of the first of these keywords that a call has."""
    return next((each.value for name in names for each in call.keywords if each.arg == name), None)


@functools.lru_cache(maxsize=None)
def _bound(module: Module) -> dict[str, str]:
    """Map each name that a module imports or defines at its level, or imports further in, to the dotted name it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.setdefault(alias.asname or alias.name.partition(".")[0], alias.name if alias.asname else alias.name.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = module.resolve(node.level, node.module)
            for alias in node.names:
                names.setdefault(alias.asname or alias.name, f"{base}.{alias.name}")
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for name in [target.id for target in targets if isinstance(target, ast.Name)] + [getattr(node, "name", "")]:
            if isinstance(name, str) and name:
                names.setdefault(name, f"{module.name}.{name}")
    return names
