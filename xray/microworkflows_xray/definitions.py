"""Definitions: the source of a function or class that a fact names, found by its dotted name without importing it."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microworkflows_xray.facts import App, Static

Node = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, eq=False)
class Definition:
    """A function or class, and the module around it."""

    module: str
    name: str
    """Name inside the module, such as ``Creator.place``."""
    node: Node
    tree: ast.Module
    path: Path

    @property
    def owner(self) -> str:
        """Name of the class around it inside the module; empty if there is none."""
        return self.name.rpartition(".")[0]


class Definitions:
    """Finds definitions in the project's root, in its apps wherever they lie, and on Python's path."""

    def __init__(self, static: Static, root: Path | None = None) -> None:
        """Take the project's folder; by default where the look was, if the facts tell, else the current one."""
        named = [(app.name, app) for app in static.apps]
        # What a fork leaves to its original is code of the same app.
        named += [(app.forked_from, app) for app in static.apps if app.forked_from]
        self._apps = sorted(named, key=lambda pair: (-len(pair[0]), pair))
        self.root = (root or (Path(static.root) if Path(static.root).is_absolute() else Path())).resolve()

    def app_of(self, dotted: str) -> App | None:
        """Return the app that holds a name, the innermost one."""
        return next((app for name, app in self._apps if f"{dotted}.".startswith(f"{name}.")), None)

    def is_editable(self, definition: Definition) -> bool:
        """Tell whether the code lies in the project, and in no package that is installed."""
        inside = definition.path.resolve().is_relative_to(self.root)
        return inside and not {"site-packages", "dist-packages"} & set(definition.path.parts)

    def is_editable_app(self, app: App) -> bool:
        """Tell whether an app's folder lies in the project."""
        return app.origin != "installed" and (self.root / app.path).is_dir()

    @functools.cache  # noqa: B019  (one instance lives as long as its command)
    def of(self, dotted: str) -> Definition | None:
        """Return the definition of a dotted name, or None if no source is found."""
        parts = dotted.split(".")
        for length in range(len(parts) - 1, 0, -1):
            if (path := self._file(parts[:length])) is not None:
                tree = _tree(path)
                node = None if tree is None else _inside(tree, parts[length:])
                if tree is None or node is None:
                    return None
                module = ".".join(parts[:length])
                return Definition(
                    module=module, name=".".join(parts[length:]), node=node, tree=tree, path=path
                )
        return None

    def _file(self, parts: list[str]) -> Path | None:
        for base in self._bases(".".join(parts)):
            folder = base.joinpath(*parts)
            for path in (folder.with_name(f"{folder.name}.py"), folder / "__init__.py"):
                if path.is_file():
                    return path
        return None

    def _bases(self, dotted: str) -> Iterator[Path]:
        app = self.app_of(dotted)
        if app is not None and f"{dotted}.".startswith(f"{app.name}."):
            path = self.root / app.path  # an absolute path replaces the root
            yield Path(*path.parts[: len(path.parts) - len(app.name.split("."))])
        yield self.root
        yield self.root / "src"
        yield from (Path(entry) for entry in sys.path if entry)


@functools.cache
def _tree(path: Path) -> ast.Module | None:
    """Parse a file; None if it is not valid here, which the look at the project reports as a gap."""
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError:
        return None


def _inside(tree: ast.AST, names: list[str]) -> Node | None:
    """Return the last definition of a name, in the scopes that the names before it say; the last one is in force."""
    found: Node | None = None
    for node in _definitions(tree):
        if node.name == names[0]:
            found = node
    return found if found is None or len(names) == 1 else _inside(found, names[1:])


def _definitions(scope: ast.AST) -> Iterator[Node]:
    """Yield what a scope defines, in branches such as ``if`` and ``try`` too."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, (*Function, ast.ClassDef)):
            yield child
        elif not isinstance(child, (ast.expr, ast.Lambda)):
            yield from _definitions(child)
