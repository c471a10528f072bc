"""The stages: which there are, and which files each has.

A stage's folder holds only what the next stage changes: a file whole, or, where it differs little, a patch that makes it
from the next stage's file (``settings.py.patch``). Everything else a stage shares with the next, and the last one is the
shop itself. A folder's ``ABSENT`` lists what the next stage adds (a folder ends in ``/``), and ``stage.toml`` says what
the stage is called and where its parts are to be found.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "migrations_guide" / "stages"
APPS = ("orders", "payments", "inventory", "shipping")

_OWN, _PATCH = {"stage.toml", "ABSENT"}, ".patch"


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


def files(number: int) -> dict[str, str]:
    """Return the text of a stage's files, by their path in its working copy.

    Raises:
        StageError: an ``ABSENT`` names what no later stage has, or a patch does not fit.
    """
    found = {name: path.read_text() for name, path in _shop().items()}
    for folder in reversed([folder for folder in _folders() if _number(folder) >= number]):
        for missing in absent(folder):
            gone = {
                name
                for name in found
                if name == missing or (missing.endswith("/") and name.startswith(missing))
            }
            if not gone:
                raise StageError(
                    f"{folder.name}/ABSENT lists {missing}, which no later stage has. Remove the line."
                )
            for name in gone:
                del found[name]
        for name, path in own_files(folder).items():
            text = path.read_text()
            found[name] = _patched(found.get(name, ""), text, path) if path.suffix == _PATCH else text
    return dict(sorted(found.items()))


def own_files(folder: Path) -> dict[str, Path]:
    """Return the files and patches that a stage's folder holds, by the path in the working copy."""
    return {name.removesuffix(_PATCH): path for name, path in _walk(folder) if name not in _OWN}


def absent(folder: Path) -> list[str]:
    """Return what a stage's folder says the next stage adds."""
    listing = folder / "ABSENT"
    lines = listing.read_text().splitlines() if listing.exists() else []
    return [line for line in lines if line and not line.startswith("#")]


def _patched(file: str, patch: str, path: Path) -> str:
    """Return the next stage's file with a patch: hunks of a unified diff, each found by its lines and not their numbers."""
    text = f"\n{file}"
    for number, hunk in enumerate(patch.split("\n@@\n")[1:], start=1):
        lines = [line or " " for line in hunk.splitlines()]  # an empty line stands for one without a change
        old, new = (
            "\n".join(["", *(line[1:] for line in lines if line[0] in kept)]) for kept in (" -", " +")
        )
        if text.count(f"{old}\n") != 1:
            raise StageError(
                f"{path.relative_to(FOLDER)}: the next stage's file does not have the lines of change {number}, or has "
                "them more than once. Correct or lengthen them."
            )
        text = text.replace(f"{old}\n", f"{new}\n")
    return text[1:]


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
