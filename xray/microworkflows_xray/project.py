"""A project that is set up as far as it allows: its apps, whose they are, and the files of code to look at."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from microworkflows_xray import exclusions, origins, settings
from microworkflows_xray.django_setup import Setup, packages_of
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import App, Gap

_NO_CODE = {"manage.py", "setup.py", "noxfile.py", "fabfile.py"}


@dataclass(frozen=True, order=True)
class File:
    """A file of code to look at."""

    module: str
    """Dotted name under which it is imported."""
    path: Path
    shown: str
    """Path as facts write it."""
    app: str
    """Label of the app that it belongs to; empty if it is in none."""


@dataclass(frozen=True)
class Project:
    """What the set-up of a project gave."""

    root: Path
    settings: str
    apps: tuple[App, ...]
    places: dict[str, Path]
    """Folder, or file, of the code of each package: of each app by its dotted name, of forks' originals, and of those named by ``also``."""
    folders: tuple[Path, ...]
    """Folders of the project from which its code is imported."""
    also: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Patterns of files to leave out, beside tests, factories and migrations."""
    loaders: tuple[str, ...] = ()
    """Names of the project's own functions that turn a string into a class or model."""
    gaps: list[Gap] = field(default_factory=list)
    seconds: float = 0.0
    """Time that the set-up took."""

    def files(self, *, include_tests: bool = False) -> tuple[File, ...]:
        """List the files of the project's own code, of forks with their originals, and of ``also``; sorted, exclusions left out."""
        return tuple(file for file in self._files if not self._why_not(file, include_tests))

    def excluded(self, *, include_tests: bool = False) -> tuple[str, ...]:
        """List the files that :meth:`files` leaves out, as facts write them."""
        return tuple(sorted({file.shown for file in self._files if self._why_not(file, include_tests)}))

    def app_of_module(self, name: str) -> str:
        """Tell the label of the app that the module, or whatever has this dotted name, belongs to; empty if to none."""
        while name and name not in self._labels:
            name = name.rpartition(".")[0]
        return self._labels.get(name, "")

    def app_of_path(self, path: Path) -> str:
        """Tell the label of the app whose folder holds this path; empty if none does."""
        holders = {self.places[name]: label for name, label in self._labels.items() if name in self.places}
        return next((holders[holder] for holder in (path, *path.parents) if holder in holders), "")

    def origin_of(self, label: str) -> str:
        """Tell the origin of the app of this label; empty if it is not installed."""
        return next((app.origin for app in self.apps if app.label == label), "")

    def shown(self, path: Path) -> str:
        """Write a path as facts do: relative to the root, or to the folder from which it is imported."""
        if path.is_relative_to(self.root) and not settings.virtual(path, self.root):
            return path.relative_to(self.root).as_posix()
        base = next((folder for folder in path.parents if folder in self._bases), None)
        return path.relative_to(base).as_posix() if base else path.as_posix()

    @functools.cached_property
    def _labels(self) -> dict[str, str]:
        """Label of each app by dotted name; of a fork's original that of the fork."""
        own = {app.name: app.label for app in self.apps}
        return {app.forked_from: app.label for app in self.apps if app.forked_from} | own

    @functools.cached_property
    def _bases(self) -> set[Path]:
        return {Path(entry).resolve() for entry in sys.path if entry}

    def _why_not(self, file: File, include_tests: bool) -> str:
        return exclusions.reason(file.shown, self.exclude, include_tests=include_tests)

    @functools.cached_property
    def _files(self) -> tuple[File, ...]:
        found = {path: self._module(path) for path in self._paths()}
        return tuple(
            sorted(
                File(name, path, self.shown(path), self.app_of_path(path))
                for path, name in found.items()
                if name
            )
        )

    def _paths(self) -> Iterator[Path]:
        for app in self.apps:
            if app.origin != "installed" and app.name in self.places:
                yield from _walk(self.places[app.name], self.root)
            if app.forked_from in self.places:
                yield from _walk(self.places[app.forked_from], self.root)
        for name in self.also:
            yield from _walk(self.places[name], self.root)
        for folder in self.folders:
            for path in sorted(folder.iterdir()):
                if (path.suffix == ".py" and path.name not in _NO_CODE) or (path / "__init__.py").is_file():
                    yield from _walk(path.resolve(), self.root)

    def _module(self, path: Path) -> str:
        """Give the dotted name under which a file is imported; empty for one that is not, such as an ``__init__.py`` in the root."""
        packages = {place: name for name, place in self.places.items()}
        for holder in (path, *path.parents):
            if holder in packages:
                return (
                    packages[holder]
                    if holder == path
                    else _dotted(path.relative_to(holder), packages[holder])
                )
            if holder in self.folders:
                return _dotted(path.relative_to(holder), "")
        return ""


def start(
    settings_name: str | None,
    root: Path,
    *,
    also: Sequence[str] = (),
    exclude: Sequence[str] = (),
    loaders: Sequence[str] = (),
) -> Project:
    """Set a project up as far as it allows. It writes nothing and connects to nothing, and the process can connect to nothing afterwards.

    Args:
        settings_name: dotted name of the settings; None to find them.
        root: folder of the project; paths in facts are relative to it.
        also: installed packages that count as the project's own code.
        exclude: patterns of files to leave out, beside tests, factories and migrations.
        loaders: names of the project's own functions that turn a string into a class or model.

    Raises:
        ProjectError: there are no settings, they do not import, or a package of ``also`` is not there.
    """
    from django.apps import apps

    began = time.monotonic()
    root = root.resolve()
    if not root.is_dir():
        raise ProjectError(f"There is no folder {root}. Name the project's folder with --root.")
    name, folders = settings.find(settings_name, root)
    setup = Setup(root, folders)
    setup.run(name)
    described = origins.found(apps.get_app_configs(), root, also)
    places = {app.name: path for app, path in described.items()}
    places |= {
        app.forked_from: path for app in described if (path := origins.location(app.forked_from or "-"))
    }
    for package in also:
        path = origins.location(package)
        if path is None:
            raise ProjectError(f"No package {package!r} is installed here, though --also names it.")
        places[package] = path
    lost = dict(_lost(setup.lost, {app.label for app in described}, folders))
    places |= {app.name: path for app, path in lost.items()}
    sources = [folder.resolve() for folder in dict.fromkeys([*folders, *setup.added])]
    project = Project(
        root, name, (), places, tuple(sources), tuple(also), tuple(exclude), tuple(loaders), setup.gaps
    )
    found = [replace(app, path=project.shown(places[app.name])) for app in (*described, *lost)]
    project = replace(project, apps=tuple(sorted(found)))
    gaps = [
        replace(gap, place=gap.place and replace(gap.place, app=project.app_of_path(root / gap.place.file)))
        for gap in setup.gaps
    ]
    return replace(project, gaps=gaps, seconds=time.monotonic() - began)


def _lost(entries: Iterable[str], labels: set[str], folders: Sequence[Path]) -> Iterator[tuple[App, Path]]:
    """Describe the project's apps that do not import, by the folders that their names tell."""
    for entry in entries:
        for name, path in (
            (name, folder.joinpath(*name.split("."))) for name in packages_of(entry) for folder in folders
        ):
            place = path if path.is_dir() else path.with_suffix(".py")
            label = name.rpartition(".")[2]
            if place.exists() and label not in labels:
                yield App(label, name, "", "own"), place.resolve()
                break


def _walk(place: Path, root: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for folder, folders, files in os.walk(place):
        here = Path(folder)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and _code(here / name, place, root)
        )
        yield from (here / name for name in sorted(files) if name.endswith(".py"))


def _code(folder: Path, place: Path, root: Path) -> bool:
    if folder.name in {"__pycache__", "node_modules"}:
        return False
    return (
        settings.virtual(place, root) or not place.is_relative_to(root) or not settings.virtual(folder, root)
    )


def _dotted(path: Path, package: str) -> str:
    parts = [*filter(None, package.split(".")), *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
