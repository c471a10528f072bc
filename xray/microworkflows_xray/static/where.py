"""Find the lines on which classes, functions and fields that exist at run time are written."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from microworkflows_xray.facts import Place
from microworkflows_xray.project import Project
from microworkflows_xray.static.sources import Sources

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Where:
    """The lines of a project's code, found in the files that were parsed already, and in others that are parsed when asked for."""

    def __init__(self, project: Project, sources: Sources) -> None:
        self._project = project
        self._parsed = {module.path: module for module in sources.modules.values()}
        self._definitions: dict[Path, dict[str, Definition]] = {}

    def of(self, thing: Any) -> Place:
        """Give the place of a class or function; its module's, or an empty one, if its line cannot be told."""
        node = self._definition(thing)
        return self._place(thing, node.lineno if node else 1, _name(thing) if node else "")

    def of_field(self, model: Any, name: str) -> Place:
        """Give the place of the line that declares a field, in the model or in a class that it inherits from."""
        for kind in model.__mro__:
            node = self._definition(kind)
            for statement in node.body if isinstance(node, ast.ClassDef) else ():
                targets = (
                    statement.targets
                    if isinstance(statement, ast.Assign)
                    else [getattr(statement, "target", None)]
                )
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return self._place(kind, statement.lineno, _name(kind))
        return self.of(model)

    def _place(self, thing: Any, line: int, name: str) -> Place:
        file = _file(thing)
        if file is None:
            return Place("", 0, name, self._project.app_of_module(getattr(thing, "__module__", "") or ""))
        return Place(self._project.shown(file), line, name, self._project.app_of_path(file))

    def _definition(self, thing: Any) -> Definition | None:
        file = _file(thing)
        if file is None:
            return None
        if file not in self._definitions:
            self._definitions[file] = dict(_walk(self._tree(file)))
        return self._definitions[file].get(getattr(thing, "__qualname__", "").replace(".<locals>", ""))

    def _tree(self, file: Path) -> ast.Module:
        """Give a file's tree; an empty one if it cannot be read."""
        if file in self._parsed:
            return self._parsed[file].tree
        try:
            return ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return ast.Module([], [])


def _walk(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Give classes and functions by qualified name."""
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{prefix}{child.name}", child
                pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.stmt):
                pending.append((prefix, child))


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".replace(".<locals>", "")


def _file(thing: Any) -> Path | None:
    code = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__code__", None)
    if code is not None:
        return Path(code.co_filename).resolve()
    file = getattr(sys.modules.get(getattr(thing, "__module__", None) or ""), "__file__", None)
    return Path(file).resolve() if file else None
