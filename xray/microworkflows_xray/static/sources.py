"""Source code of the apps that are looked at, parsed once, with an index of modules, classes and functions."""

from __future__ import annotations

import ast
import bisect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from microworkflows_xray.facts import Gap, Place
from microworkflows_xray.project import File, Project

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False)
class Module:
    """A parsed file."""

    name: str
    path: Path
    file: str
    """As in :class:`~microworkflows_xray.facts.Place`."""
    tree: ast.Module
    app: str
    package: bool = False
    """True for an ``__init__.py``."""
    spans: list[tuple[int, int, str]] = field(default_factory=list, repr=False)
    """First and last line, and dotted name, of each definition, sorted."""

    def resolve(self, level: int, name: str | None) -> str:
        """Give the dotted name that a relative import means here."""
        if not level:
            return name or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - level + (1 if self.package else 0)]
        return ".".join([*parts, name] if name else parts)


@dataclass(eq=False)
class Function:
    """A function or method."""

    name: str
    """Dotted name, without ``<locals>``."""
    node: FunctionNode
    module: Module
    cls: str = ""
    """Dotted name of the class around it; empty for a plain function."""

    @cached_property
    def run(self) -> frozenset[str]:
        """Names that its body calls, or hands on as arguments: a function that is passed for such a parameter runs."""
        calls = [node for node in ast.walk(self.node) if isinstance(node, ast.Call)]
        used = [
            each
            for call in calls
            for each in (call.func, *call.args, *(word.value for word in call.keywords))
        ]
        return frozenset(each.id for each in used if isinstance(each, ast.Name))

    @cached_property
    def decorators(self) -> frozenset[str]:
        """Last names of its decorators."""
        inner = [node.func if isinstance(node, ast.Call) else node for node in self.node.decorator_list]
        return frozenset(
            node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in inner
        )


@dataclass(eq=False)
class Class:
    """A class."""

    name: str
    node: ast.ClassDef
    module: Module


@dataclass
class Sources:
    """All parsed modules and their definitions."""

    modules: dict[str, Module] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    @classmethod
    def read(cls, project: Project, *, include_tests: bool = False) -> Sources:
        """Parse the files that a project names; one that cannot be parsed leaves a gap."""
        sources = cls()
        for file in project.files(include_tests=include_tests):
            sources._parse(file)
        return sources

    def add(self, module: Module) -> None:
        """Take in one parsed module and index what it defines."""
        self.modules[module.name] = module
        for name, node, owner in _definitions(module.tree.body, module.name, ""):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            module.spans.append((first, node.end_lineno or node.lineno, name))
            if isinstance(node, ast.ClassDef):
                self.classes.setdefault(name, Class(name, node, module))
            else:
                self.functions[name] = Function(name, node, module, owner)
        module.spans.sort()

    def function_at(self, module: Module, line: int) -> str:
        """Name the innermost function or class body around a line; empty at a module's level."""
        index = bisect.bisect_right(module.spans, (line, sys.maxsize))
        while index:
            index -= 1
            _, end, name = module.spans[index]
            if line <= end:
                return name
        return ""

    def place(self, module: Module, node: ast.AST) -> Place:
        """Say where a node stands."""
        line = getattr(node, "lineno", 1)
        return Place(module.file, line, self.function_at(module, line), module.app)

    def _parse(self, file: File) -> None:
        try:
            tree = ast.parse(file.path.read_bytes(), filename=str(file.path))
        except (SyntaxError, ValueError, OSError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            self.gaps.append(
                Gap(f"The file {file.shown} was not read.", why, Place(file.shown, 1, "", file.app))
            )
            return
        self.add(
            Module(
                file.module, file.path, file.shown, tree, file.app, package=file.path.name == "__init__.py"
            )
        )


def _definitions(
    body: Iterable[ast.stmt], prefix: str, owner: str
) -> Iterator[tuple[str, FunctionNode | ast.ClassDef, str]]:
    """Walk all definitions: dotted name, node, and the class directly around it."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}.{node.name}"
            yield name, node, owner
            yield from _definitions(node.body, name, name if isinstance(node, ast.ClassDef) else "")
        else:
            for block in ("body", "orelse", "finalbody"):
                inner = getattr(node, block, None)
                if isinstance(inner, list):
                    yield from _definitions(inner, prefix, owner)
            for handler in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                yield from _definitions(handler.body, prefix, owner)
