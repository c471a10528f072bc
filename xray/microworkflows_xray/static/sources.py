"""Source code of the apps that are looked at, parsed once, with an index of modules, classes and functions."""

from __future__ import annotations

import ast
import bisect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

from microworkflows_xray.facts import App, Gap, Place

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_SKIPPED_FOLDERS = frozenset({"migrations", "tests", "test", "testing", "node_modules", "site-packages", "__pycache__", "venv"})


class ProjectLike(Protocol):
    """The part of a project that this module needs."""

    @property
    def root(self) -> Path: ...
    @property
    def apps(self) -> tuple[App, ...]: ...


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
    _starts: list[int] = field(default_factory=list, repr=False)
    _spans: list[tuple[int, int, str]] = field(default_factory=list, repr=False)

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
    def decorators(self) -> frozenset[str]:
        """Last names of its decorators."""
        inner = [node.func if isinstance(node, ast.Call) else node for node in self.node.decorator_list]
        return frozenset(node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in inner)


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
    excluded: list[str] = field(default_factory=list)

    @classmethod
    def read(
        cls,
        project: ProjectLike,
        *,
        also: Iterable[str] = (),
        excluded: Callable[[Path], bool] | None = None,
    ) -> Sources:
        """Parse the own apps, the forks, the rest of the project's packages, and installed apps named in ``also``.

        Args:
            also: Dotted names of installed packages to treat as the project's own.
            excluded: Tells, from a path below an app or the root, whether to leave a file out; by default tests and migrations.
        """
        sources = cls()
        wanted = tuple(also)
        leave_out = excluded or is_test_or_migration
        named = [app for app in project.apps if app.origin != "installed" or _within(app.name, wanted)]
        folders = {(project.root / app.path).resolve(): app for app in project.apps}
        seen: set[Path] = set()
        for app in sorted(named, key=lambda app: app.name):
            folder = (project.root / app.path).resolve()
            sources._read_tree(folder, app.name, folders, project, seen, leave_out)
        for package, folder in sorted(_top_packages(named, project.root)):
            sources._read_tree(folder, package, folders, project, seen, leave_out)
        for package in wanted:
            module = sys.modules.get(package)
            for location in getattr(module, "__path__", ()):
                sources._read_tree(Path(location).resolve(), package, folders, project, seen, leave_out)
        root = project.root.resolve()
        sources._read_tree(root, "", folders, project, seen, leave_out)
        return sources

    def add(self, module: Module) -> None:
        """Take in one parsed module and index what it defines."""
        self.modules[module.name] = module
        for name, node, owner in _definitions(module.tree.body, module.name, ""):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            module._spans.append((first, node.end_lineno or node.lineno, name))
            if isinstance(node, ast.ClassDef):
                self.classes.setdefault(name, Class(name, node, module))
            else:
                self.functions[name] = Function(name, node, module, owner)
        module._spans.sort()
        module._starts = [start for start, _, _ in module._spans]

    def function_at(self, module: Module, line: int) -> str:
        """Name the innermost function or class body around a line; empty at a module's level."""
        index = bisect.bisect_right(module._starts, line)
        while index:
            index -= 1
            _, end, name = module._spans[index]
            if line <= end:
                return name
        return ""

    def place(self, module: Module, node: ast.AST) -> Place:
        """Say where a node stands."""
        line = getattr(node, "lineno", 1)
        return Place(module.file, line, self.function_at(module, line), module.app)

    def _read_tree(
        self,
        folder: Path,
        prefix: str,
        folders: dict[Path, App],
        project: ProjectLike,
        seen: set[Path],
        leave_out: Callable[[Path], bool],
    ) -> None:
        root = project.root.resolve()
        for path in _python_files(folder):
            if path in seen:
                continue
            if not prefix and not _importable(path, root):
                continue
            seen.add(path)
            file = _relative(path, root)
            if leave_out(path.relative_to(folder)):
                self.excluded.append(file)
                continue
            owner = next((folders[parent] for parent in path.parents if parent in folders), None)
            inner = path.relative_to(folder).with_suffix("").parts
            parts = [*(prefix.split(".") if prefix else ()), *inner]
            if parts[-1] == "__init__":
                parts.pop()
            self._parse(".".join(parts), path, file, owner.label if owner else "")

    def _parse(self, name: str, path: Path, file: str, app: str) -> None:
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except (SyntaxError, ValueError, OSError, RecursionError) as error:
            self.gaps.append(Gap(f"The file {file} was not read.", f"{type(error).__name__}: {error}", Place(file, 1, "", app)))
            return
        self.add(Module(name, path, file, tree, app, package=path.name == "__init__.py"))


def is_test_or_migration(path: Path) -> bool:
    """Tell whether a path below an app or root is that of a test, a factory, a migration or a conftest."""
    name = path.name
    return (
        not _SKIPPED_FOLDERS.isdisjoint(path.parts[:-1])
        or name in {"tests.py", "conftest.py", "factories.py", "setup.py", "noxfile.py"}
        or name.startswith("test_")
        or name.endswith("_test.py")
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


def _top_packages(apps: Iterable[App], root: Path) -> set[tuple[str, Path]]:
    """Give the outermost packages of the project's own apps: code of theirs that is in no app belongs to the project as well."""
    packages = set()
    for app in apps:
        parts = app.name.split(".")
        folder = (root / app.path).resolve()
        if app.origin != "installed" and len(parts) > 1 and folder.parts[-len(parts) :] == tuple(parts):
            packages.add((parts[0], folder.parents[len(parts) - 2]))
    return packages


def _python_files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir():
            if not entry.name.startswith(".") and entry.name not in {"node_modules", "__pycache__", "site-packages"}:
                yield from _python_files(entry)
        elif entry.suffix == ".py":
            yield entry


def _importable(path: Path, root: Path) -> bool:
    """True if each folder between root and file is a package, so that its dotted name is what code imports."""
    folder = path.parent
    while folder not in (root, folder.parent):
        if not (folder / "__init__.py").exists():
            return False
        folder = folder.parent
    return True


def _relative(path: Path, root: Path) -> str:
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    inside = [base for base in _search_path(tuple(sys.path)) if path.is_relative_to(base)]
    return path.relative_to(max(inside, key=lambda base: len(base.parts))).as_posix() if inside else path.as_posix()


@lru_cache(maxsize=4)
def _search_path(entries: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(Path(entry).resolve() for entry in entries if entry)


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
