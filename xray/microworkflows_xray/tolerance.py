"""Run code of a project that may fail, doing what can be done about each failure, and note as gaps what cannot.

A missing package gets a phantom, a missing variable of the environment some value, and a module that fails is imported statement by
statement.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from microworkflows_xray import piecewise, settings
from microworkflows_xray.facts import Gap, Place
from microworkflows_xray.phantoms import Phantoms

_TRIES = 200
"""Missing packages and variables after which an import is given up."""
_VARIABLE = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[A-Z]{3,})\b")
_ABOUT_VARIABLE = re.compile(r"\benv|variable|not found|\bset\b|missing|require", re.IGNORECASE)
_SETTINGS_ERRORS = {"ImproperlyConfigured", "UndefinedValueError", "EnvError", "EnvironmentError", "KeyError"}
FAILURES = (Exception, SystemExit)
"""What code of a project may raise without ending the run."""


class Tolerance:
    """What was done so far about failures, and the gaps that are left."""

    def __init__(self, root: Path, folders: Iterable[Path]) -> None:
        self.root = root
        self.gaps: list[Gap] = []
        self.added: list[Path] = []
        """Folders of the project that were put on the path, since an import missed something in them."""
        self.phantoms = Phantoms()
        self._invented: set[str] = set()
        self._pieced: set[str] = set()
        for folder in reversed(list(folders)):
            _prepend(folder)

    def attempt(self, what: str, action: Callable[[], Any]) -> tuple[bool, Any]:
        """Do it, standing for what is missing; note a gap if it fails all the same. Return whether it was done, and its result."""
        try:
            return True, self.insist(action)
        except FAILURES as error:
            if what.partition(" ")[2].partition(".")[0] in self.phantoms.names:
                return False, None  # the gap of the package tells it already
            self.gaps.append(Gap(what, reason(error, self.root), self.culprit(error)))
            return False, None

    def insist(self, action: Callable[[], Any]) -> Any:
        """Do it, standing for what is missing; raise what nothing can be done about."""
        for _ in range(_TRIES):
            try:
                return action()
            except FAILURES as error:
                if not (
                    self._stand_for_package(error)
                    or self._invent_variable(error)
                    or self._go_piecewise(error)
                ):
                    raise
        return action()

    def _stand_for_package(self, error: BaseException) -> bool:
        """Find the package that an import misses in another folder of the project, or let a phantom stand for it."""
        while (
            isinstance(error, ImportError)
            and not isinstance(error, ModuleNotFoundError)
            and error.__context__
        ):
            error = error.__context__  # some say it in words of their own
        if not isinstance(error, ModuleNotFoundError) or not error.name:
            return False
        name = error.name.partition(".")[0]
        if name in self.phantoms.names or name in sys.modules or name in sys.builtin_module_names:
            return False
        homes = self._homes(name)
        if homes and str(homes[0]) not in sys.path:
            _prepend(homes[0])
            self.added.append(homes[0])
            importlib.invalidate_caches()
            return True
        self.phantoms.stand_for(name)
        self.gaps.append(
            Gap(
                f"package {name}",
                "It is not installed here, so what it defines is not seen.",
                self.culprit(error),
            )
        )
        return True

    def _homes(self, name: str) -> list[Path]:
        """Find folders of the project that would have to be on the path for this package, or for this module beside packages."""
        packages = {
            path.parent.parent
            for depth in range(4)
            for path in self.root.glob(f"{'*/' * depth}{name}/__init__.py")
        }
        modules = {path.parent for depth in range(4) for path in self.root.glob(f"{'*/' * depth}{name}.py")}
        homes = packages | {
            home for home in modules if any(home.glob("*/apps.py")) or any(home.glob("*/models.py"))
        }
        inside = [home for home in homes if not settings.virtual(home, self.root) and not _is_package(home)]
        return sorted(inside, key=lambda home: (len(home.parts), home))

    def _invent_variable(self, error: BaseException) -> bool:
        """Give a variable of the environment that the settings miss some value."""
        if not {kind.__name__ for kind in type(error).__mro__} & _SETTINGS_ERRORS:
            return False
        if not (
            _from_environment(error) if isinstance(error, KeyError) else _ABOUT_VARIABLE.search(str(error))
        ):
            return False
        found = [
            name
            for name in _VARIABLE.findall(str(error))
            if name not in os.environ and name not in self._invented
        ]
        if not found or found[0] == settings.VARIABLE:
            return False
        os.environ[found[0]] = _invented(found[0])
        self._invented.add(found[0])
        self.gaps.append(
            Gap(
                f"variable {found[0]}",
                f"It is not set, so it was taken as {os.environ[found[0]]!r}.",
                self.culprit(error),
            )
        )
        return True

    def _go_piecewise(self, error: BaseException) -> bool:
        """Import the module of the project at whose level the error came statement by statement; once for each module."""
        name = piecewise.failing(error.__traceback__, self._belongs)
        if not name or name in self._pieced:
            return False
        self._pieced.add(name)
        failed: list[BaseException] = []

        def run(statement: Callable[[], Any]) -> None:
            try:
                self.insist(statement)
            except FAILURES as failure:
                failed.append(failure)

        if not piecewise.load(name, run):
            return False
        if failed:
            number = (
                f"{len(failed)} of its statements fail, the first with"
                if len(failed) > 1
                else "one of its statements fails with"
            )
            self.gaps.append(
                Gap(f"parts of {name}", f"{number} {reason(failed[0], self.root)}", self.culprit(failed[0]))
            )
        return True

    def _belongs(self, file: str) -> bool:
        path = Path(file)
        return path.is_relative_to(self.root) and not settings.virtual(path, self.root)

    def culprit(self, error: BaseException) -> Place | None:
        """Find the innermost line of the project that the error passed."""
        if (
            isinstance(error, SyntaxError)
            and error.filename
            and Path(error.filename).is_relative_to(self.root)
        ):
            return Place(self._shown(Path(error.filename)), error.lineno or 0)
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if self._belongs(frame.filename):
                return Place(self._shown(Path(frame.filename)), frame.lineno or 0)
        return None

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def _prepend(folder: Path) -> None:
    if str(folder) in sys.path:
        sys.path.remove(str(folder))
    sys.path.insert(0, str(folder))


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def reason(error: BaseException, root: Path) -> str:
    """Put an error into one line, paths relative to the root."""
    text = " ".join(str(error).split()).replace(f"{root}{os.sep}", "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _from_environment(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name in {"os.py", "<frozen os>"}


def _invented(name: str) -> str:
    if "DATABASE" in name or name.endswith("DB_URL"):
        return "sqlite://:memory:"
    if name.endswith(("URL", "URI", "DSN", "ENDPOINT")):
        return "http://127.0.0.1"
    if name.endswith(("PORT", "TIMEOUT", "SIZE", "COUNT", "SECONDS", "TTL", "ID", "DEBUG")):
        return "1"
    return "xray"
