"""Code that the recorder looks at: files of the project, of apps that lie beside it, and of packages that are named with *also*."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

OUTSIDE = {"site-packages", "dist-packages", "node_modules", "__pycache__"}
TESTS = {"tests", "test", "testing", "conftest.py", "factories.py", "factories", "tests.py"}


class File:
    """A file of code, or none that is looked at."""

    __slots__ = ("app", "kind", "shown")

    def __init__(self, kind: str, shown: str = "", app: str = "") -> None:
        self.kind = kind
        """``own``, ``test``, or empty for code that nobody looks at."""
        self.shown = shown
        """As in :class:`~microworkflows_xray.facts.Place`."""
        self.app = app


class Looked:
    """Tells of each file's name whether its code is looked at, and of which app it is."""

    def __init__(self, root: Path, also: Iterable[str] = (), apps: Iterable[tuple[str, str]] = ()) -> None:
        """Take the project's root, dotted names of packages to look at as well, and the apps as pairs of path and label."""
        self._root = _folder(root)
        self._apps = sorted(((_folder(Path(path)), label) for path, label in apps), key=lambda app: -len(app[0]))
        self._also = [_folder_of_package(name) for name in also]
        self._files: dict[str, File] = {}

    def file(self, name: str) -> File:
        """Return what is known of a file, by the name that its code objects carry."""
        found = self._files.get(name)
        if found is None:
            found = self._files[name] = self._read(name)
        return found

    def _read(self, name: str) -> File:
        if name.startswith("<"):
            return File("")
        path = os.path.realpath(name)
        shown = self._shown(path)
        if shown is None:
            return File("")
        parts = shown.split("/")
        if TESTS.intersection(parts) or parts[-1].startswith("test_") or parts[-1].endswith("_test.py"):
            return File("test", shown)
        if "migrations" in parts:
            return File("")
        return File("own", shown, next((label for folder, label in self._apps if path.startswith(folder)), ""))

    def _shown(self, path: str) -> str | None:
        for folder in self._also:
            if path.startswith(folder):
                return _slashes(os.path.relpath(path, Path(folder).parent))
        if path.startswith(self._root):
            shown = _slashes(os.path.relpath(path, self._root))
            return None if OUTSIDE.intersection(shown.split("/")) or _in_environment(shown) else shown
        return None


def _folder(path: Path) -> str:
    return os.path.realpath(path) + os.sep


def _folder_of_package(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"There is no package {name}, which the recorder shall look at as well. Is its name right?")
    return _folder(Path(next(iter(spec.submodule_search_locations))))


def _in_environment(shown: str) -> bool:
    return any(part in {".venv", "venv", ".tox", ".nox"} for part in shown.split("/"))


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")
