"""Read everything that the code of a project tells, without running any of it beyond what setting Django up does."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from microworkflows_xray import hush
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Gap, Static
from microworkflows_xray.project import Project
from microworkflows_xray.static import accesses, admin_pages, imports, loaders, relations, signals, tasks
from microworkflows_xray.static.sources import Sources
from microworkflows_xray.static.where import Where

Found = TypeVar("Found")


def look(project: Project, *, include_tests: bool = False) -> Static:
    """Find models, relations, imports, accesses, calls, signals and tasks in the code of a project that was set up.

    A finder that fails costs what it would have found, and leaves a gap.

    Raises:
        ProjectError: there is nothing to look at: no app is the project's own, or none of its files could be read.
    """
    began = time.monotonic()
    with hush.quietly():
        sources = Sources.read(project, include_tests=include_tests)
        _refuse_nothing(project, sources)
        where = Where(project, sources)
        gaps = [*project.gaps, *sources.gaps]
        models, found_relations = _careful("relations", gaps, lambda: relations.find(where)) or ((), ())
        found_imports, import_gaps = _careful("imports", gaps, lambda: imports.find(project, sources)) or (
            [],
            [],
        )
        loaded = _careful("loaders", gaps, lambda: loaders.find(project, sources)) or []
        found_accesses, calls, access_gaps = _careful(
            "accesses", gaps, lambda: accesses.find(project, sources, models)
        ) or ([], [], [])
        edited = _careful("admin", gaps, lambda: admin_pages.find(project, sources, where)) or []
        found_signals = _careful("signals", gaps, lambda: signals.find(project, sources, where)) or []
        found_tasks = _careful("tasks", gaps, lambda: tasks.find(sources)) or []
    return Static(
        root=project.root.name,
        settings=project.settings,
        apps=project.apps,
        models=_sorted(models),
        relations=_sorted(found_relations),
        imports=_sorted([*found_imports, *loaded]),
        accesses=_sorted([*found_accesses, *edited]),
        calls=_sorted(calls),
        signals=_sorted(found_signals),
        tasks=_sorted(found_tasks),
        gaps=_sorted([*gaps, *import_gaps, *access_gaps]),
        files=tuple(sorted({module.file for module in sources.modules.values()})),
        excluded=project.excluded(include_tests=include_tests),
        seconds=round(project.seconds + time.monotonic() - began, 3),
        peak_megabytes=_peak_megabytes(),
    )


def _refuse_nothing(project: Project, sources: Sources) -> None:
    if not any(app.origin != "installed" for app in project.apps):
        raise ProjectError(
            f"None of the {len(project.apps)} apps that {project.settings} installs lies below {project.root}, so there is nothing "
            "to look at. Name the project's folder with --root, or installed packages that count as its own with --also."
        )
    if not sources.modules:
        raise ProjectError(
            f"No file of the project's {len(project.apps)} apps could be read. See what the settings exclude."
        )


def _careful(what: str, gaps: list[Gap], find: Callable[[], Found]) -> Found | None:
    try:
        return find()
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        gaps.append(
            Gap(
                what,
                f"The finder failed, so nothing of these is in the report: {type(error).__name__}: {error} ({where})",
            )
        )
        return None


def _sorted(facts: Iterable[Any]) -> tuple[Any, ...]:
    """Sort facts, once each. None counts as less than any value."""
    return tuple(sorted(set(facts), key=repr))


def _peak_megabytes() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
