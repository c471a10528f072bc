"""Whose code is whose, and which process runs it once the context has a database of its own.

While a microworkflow of the context handles an event, its worker runs, whoever wrote the code that it calls. Everything else is
done by the process that was entered: a view, a command, a task. If code of the context was entered, it is the context's own;
otherwise it is the others', whatever code of the context they call. What tests and Django do by themselves is nobody's.
"""

import re
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from django.apps import apps
from django.conf import settings

from microworkflows import causes, registry
from microworkflows.cloudevents import context_of
from microworkflows.cutover import forks
from microworkflows.cutover.splitting import others

SHARED = ""
"""Owner of the project's code that is no context's: apps without tables, and code in no app."""

_TEST = re.compile(r"(tests?|test_.*|.*_tests?|conftest)\.py")
_TEST_FOLDERS = {"test", "tests"}
_INSTALLED = {"site-packages", "dist-packages"}
_KIT = Path(__file__).parents[2]
_ENTRANCES = tuple(
    str(Path(*parts))
    for parts in (
        ("django", "core", "handlers", ""),
        ("celery", "app", "trace.py"),
    )
)
"""Code beyond which a request or a task has its beginning."""
_WORKER = tuple(str(_KIT / name) for name in ("handling.py", "testing.py", "cutover/suite/running.py"))
"""The same for a delivery."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of the project's code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Running:
    """The code that runs now, as one context sees it."""

    own: bool
    """True if the context's own process runs it; otherwise others' does."""
    who: str
    """For people: the label of the app that was entered, or of the microworkflow."""
    place: Place
    """The innermost line of those who run: the one to mend."""
    through: Place | None
    """The innermost line of all, if that is another one."""


class Parties:
    """The apps of a project, and the owners of its files."""

    def __init__(self, *, scenario: str = "") -> None:
        self._folders = sorted(
            (
                (Path(folder).resolve(), app.label)
                for app in apps.get_app_configs()
                for folder, _ in forks.folders(app)
            ),
            key=lambda pair: -len(pair[0].parts),
        )
        self._roots = [
            Path(root).resolve() for root in (getattr(settings, "BASE_DIR", None), Path.cwd()) if root
        ]
        self._scenario = scenario
        self._with_tables = {app.label for app in apps.get_app_configs() if list(app.get_models())}
        self._with_tables |= set(registry.contexts())
        # Asked for each line of each statement's stack.
        self.owner, self.shown, self.is_test = cache(self._owner), cache(self._shown), cache(self._is_test)

    def others_of(self, context: str) -> list[str]:
        """Return the labels of the apps from which a context is to be apart."""
        return [
            app.label
            for app in apps.get_app_configs()
            if app.label != context
            and app.label in self._with_tables
            and not others.is_at_home(app.label, {context})
        ]

    def running(self, frame: FrameType | None, context: str) -> Running | None:
        """Return who runs the code of a frame; None if it is nobody's."""
        frames, entered = self._stack(frame)
        cause = causes.cause()
        if cause is not None:
            own, who = context_of(cause.workflow) == context, cause.workflow
        elif not frames and entered is None:
            return None
        else:
            owners = [owner for owner, _ in frames if owner != SHARED]
            owner = entered or (owners[-1] if owners else SHARED)
            own, who = owner == context, owner or "code of no app with tables"
        theirs = [(owner, place) for owner, place in frames if (owner == context) == own]
        theirs.sort(
            key=lambda each: each[0] == SHARED
        )  # a helper of everybody's is not where it is to be mended
        places = [place for _, place in frames]
        place = next((place for _, place in theirs), None) or (places or [self._of(who)])[0]
        return Running(own, who, place, through=places[0] if places and places[0] != place else None)

    def _shown(self, file: str | Path) -> str:
        """Return a file's name for people: relative to the project, or to where packages are installed."""
        path = Path(file).resolve()
        for folder in path.parents:
            if folder.name in _INSTALLED:
                return str(path.relative_to(folder))
        return next(
            (str(path.relative_to(root)) for root in self._roots if path.is_relative_to(root)), str(path)
        )

    def _is_test(self, file: str | Path) -> bool:
        """Return True for a file of tests, or that of the scenario."""
        path = Path(file).resolve()
        roots = [*(folder for folder, _ in self._folders), *self._roots]
        inside = next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path)
        return (
            str(path) == self._scenario
            or _TEST.fullmatch(path.name) is not None
            or bool(_TEST_FOLDERS.intersection(inside.parts[:-1]))
        )

    @staticmethod
    @cache
    def is_entrance(file: str) -> bool:
        """Return True for the code that calls a view, a task or a microworkflow."""
        return file in _WORKER or any(part in file for part in _ENTRANCES)

    def _stack(self, frame: FrameType | None) -> tuple[list[tuple[str, Place]], str | None]:
        """Return the lines of the project's code, innermost first, each with its owner; and the owner of the view that was entered."""
        found: list[tuple[str, Place]] = []
        while frame is not None:
            file = frame.f_code.co_filename
            if self.is_entrance(file):
                return found, self._entered(frame)
            if (owner := self.owner(file)) is not None and frame.f_globals.get("__name__") != "__main__":
                found.append((owner, Place(self.shown(file), frame.f_lineno)))
            frame = frame.f_back
        return found, None

    def _entered(self, frame: FrameType) -> str | None:
        """Return the owner of a view that Django's handler calls: a decorator's code around it may be anybody's."""
        view: Any = frame.f_locals.get("callback")
        view = getattr(view, "model_admin", None) or getattr(view, "view_class", None) or view
        if view is None:
            return None
        module = sys.modules.get(getattr(view, "__module__", "") or "")
        file = getattr(module, "__file__", None)
        return (self.owner(file) or None) if file else None

    def _owner(self, file: str) -> str | None:
        """Return whose code a file is: a label, :data:`SHARED`, or None for libraries, Django, the kit and tests."""
        path = Path(file).resolve()
        if path.is_relative_to(_KIT) or file.startswith("<") or self.is_test(path):
            return None
        label = next((label for folder, label in self._folders if path.is_relative_to(folder)), None)
        if label is not None and (label in self._with_tables) and not _is_frameworks(label):
            return label
        installed = _INSTALLED.intersection(path.parts) or path.is_relative_to(sysconfig.get_path("stdlib"))
        return SHARED if not installed and any(path.is_relative_to(root) for root in self._roots) else None

    def _of(self, who: str) -> Place:
        """Return where a microworkflow is declared, or an app lies, when none of its lines are on the stack."""
        if (workflow := registry.workflow(who)) is not None:
            code = workflow.function.__code__
            return Place(self.shown(code.co_filename), code.co_firstlineno)
        config = apps.app_configs.get(who)
        return Place(self.shown(config.path) if config else who, 0)


def _is_frameworks(label: str) -> bool:
    config = apps.app_configs[label]
    return config.name.startswith("django.") or others.is_of_kit(label)
