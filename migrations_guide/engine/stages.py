"""The stages: which there are, and where each takes its files from.

A stage's folder holds only what the next stage changes. Whatever it does not hold it shares with the next stage, and
the last one is the shop itself. A folder's ``ABSENT`` lists what the next stage adds (a folder ends in ``/``), and
``stage.toml`` says what the stage is called and where its parts are to be found.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).resolve().parent / "stages"
APPS = ("orders", "payments", "inventory", "shipping")

_OWN = {"stage.toml", "ABSENT"}


class StageError(Exception):
    """A stage is not there, or its folder says what cannot be."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stop on the way, at which the shop runs."""

    number: int
    folder: Path
    title: str
    says: str
    """One sentence: what is true at this stage."""
    pages: dict[str, str]
    """By app, the process of the Procfile that serves its pages of the admin; ``web`` where nothing is said."""
    prepare: list[str]
    """Arguments of ``manage.py``, run before the processes start."""
    switch: list[str]
    """Arguments of ``manage.py``, run once the processes are ready, with an order placed before each."""
    silent: list[str]
    """Arguments of ``manage.py``, run after the acceptance suite: they must print nothing."""
    databases: dict[str, list[str]]
    """The contexts with a database of their own, and arguments of ``manage.py`` that are run there."""
    split: bool
    """Whether these databases come from the common one, by ``split_database``."""
    services: bool
    """Whether each context is a service: a process has nothing else installed."""

    def __str__(self) -> str:
        return f"Stage {self.number}: {self.title}"


def stages() -> list[Stage]:
    """Return all stages, in order."""
    return [_read(folder) for folder in _folders() if (folder / "stage.toml").exists()]


def stage(number: int) -> Stage:
    """Return one stage.

    Raises:
        StageError: there is none with this number.
    """
    found = {stage.number: stage for stage in stages()}
    if number not in found:
        raise StageError(f"There is no stage {number}. There are: {', '.join(map(str, found))}.")
    return found[number]


def files(number: int) -> dict[str, Path]:
    """Return where a stage's files come from, by their path in its working copy.

    Raises:
        StageError: an ``ABSENT`` names what no later stage has.
    """
    found = _shop()
    for folder in reversed([folder for folder in _folders() if _number(folder) >= number]):
        for name in absent(folder):
            gone = {path for path in found if path == name or (name.endswith("/") and path.startswith(name))}
            if not gone:
                raise StageError(
                    f"{folder.name}/ABSENT lists {name}, which no later stage has. Remove the line."
                )
            for path in gone:
                del found[path]
        found |= own_files(folder)
    return dict(sorted(found.items()))


def own_files(folder: Path) -> dict[str, Path]:
    """Return the files that a stage's folder holds, by their path in the working copy."""
    return {name: path for name, path in _walk(folder) if name not in _OWN}


def absent(folder: Path) -> list[str]:
    """Return what a stage's folder says the next stage adds."""
    listing = folder / "ABSENT"
    lines = listing.read_text().splitlines() if listing.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def _shop() -> dict[str, Path]:
    found = {"manage.py": ROOT / "manage.py"}
    for source in (ROOT / "project", *(ROOT / "apps" / app for app in APPS)):
        found |= {f"{source.name}/{name}": path for name, path in _walk(source)}
    return found


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def _folders() -> list[Path]:
    return sorted((path for path in FOLDER.iterdir() if path.name[0].isdigit()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.partition("_")[0])


def _read(folder: Path) -> Stage:
    said: dict[str, Any] = tomllib.loads((folder / "stage.toml").read_text())
    pages = {app: said.get("pages", {}).get(app, "web") for app in APPS}
    return Stage(
        number=_number(folder),
        folder=folder,
        title=said["title"],
        says=said["says"],
        pages=pages,
        prepare=said.get("prepare", ["migrate", "seed_catalogue", "seed_stock"]),
        switch=said.get("switch", []),
        silent=said.get("silent", []),
        databases=said.get("databases", {}),
        split=said.get("split", False),
        services=said.get("services", False),
    )
