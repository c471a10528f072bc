"""Find the lines on which classes, functions and fields that exist at run time are written."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from pathlib import Path
from typing import Any

from microworkflows_xray.facts import Place
from microworkflows_xray.project import Project


def of(project: Project, thing: Any) -> Place:
    """Give the place of a class or function; its module's, or an empty one, if its line cannot be told."""
    node = _definition(thing)
    return _place(project, thing, node.lineno if node else 1, _name(thing) if node else "")


def of_field(project: Project, model: Any, name: str) -> Place:
    """Give the place of the line that declares a field, in the model or in a class that it inherits from."""
    for kind in model.__mro__:
        node = _definition(kind)
        for statement in node.body if isinstance(node, ast.ClassDef) else ():
            targets = (
                statement.targets
                if isinstance(statement, ast.Assign)
                else [getattr(statement, "target", None)]
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return _place(project, kind, statement.lineno, _name(kind))
    return of(project, model)


def _place(project: Project, thing: Any, line: int, name: str) -> Place:
    file = _file(thing)
    if file is None:
        return Place("", 0, name, project.app_of_module(getattr(thing, "__module__", "") or ""))
    return Place(project.shown(file), line, name, project.app_of_path(file))


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".replace(".<locals>", "")


def _file(thing: Any) -> Path | None:
    code = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__code__", None)
    if code is not None:
        return Path(code.co_filename).resolve()
    file = getattr(sys.modules.get(getattr(thing, "__module__", None) or ""), "__file__", None)
    return Path(file).resolve() if file else None


def _definition(thing: Any) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | None:
    file = _file(thing)
    name = getattr(thing, "__qualname__", "").replace(".<locals>", "")
    return _definitions(file).get(name) if file else None


@functools.lru_cache(maxsize=512)
def _definitions(file: Path) -> dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Index a file's classes and functions by qualified name; empty if it cannot be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef] = {}
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found[f"{prefix}{child.name}"] = child
                pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.stmt):
                pending.append((prefix, child))
    return found
