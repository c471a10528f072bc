"""The proof that a context is unplugged: a file that goes with the code, and holds for this very code alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from django.apps import apps
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microworkflows import times
from microworkflows.cutover.unplugging.parties import Parties
from microworkflows.errors import MicroworkflowsError

_INSTALLED = {"site-packages", "dist-packages"}
_KIT = Path(__file__).parents[2]


class UnprovenError(MicroworkflowsError):
    """There is no proof of a context for the code that runs here."""


class Proof(BaseModel):
    """A run that found nothing left to mend."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    proven_at: datetime
    code: str
    """SHA-256 of the project's code."""
    by: str
    """Arguments of pytest, or name of the scenario."""
    tests: int = Field(ge=1)
    own_statements: int = Field(ge=1)
    others_statements: int = Field(ge=1)
    steps: list[str]
    not_looked_at: list[str] = []

    def __str__(self) -> str:
        return (
            f"proven on {times.shown(self.proven_at)} for code {self.code[:12]}: {self.tests} tests, "
            f"{self.own_statements} statements of its own, {self.others_statements} of others"
        )


class _File(BaseModel):
    format: Literal[1] = 1
    kind: Literal["unplugged"] = "unplugged"
    proofs: dict[str, Proof] = {}


def path() -> Path:
    """Return the path of the file, which need not exist."""
    return Path(getattr(settings, "BASE_DIR", ""), "unplugged.json")


def keep(results: Mapping[str, Proof | None]) -> None:
    """Write the proofs of some contexts into the file; where there is None, an older one no longer holds.

    Raises:
        UnprovenError: the file holds something else, or cannot be written.
    """
    file = _read() if path().exists() else _File()
    kept = {context: proof for context, proof in file.proofs.items() if context not in results}
    kept |= {context: proof for context, proof in results.items() if proof is not None}
    written = _File(proofs=dict(sorted(kept.items())))
    try:
        path().write_text(written.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UnprovenError(f"{path()} cannot be written: {error.strerror}.") from error


def of(context: str) -> Proof:
    """Return the proof of a context for the code as it is.

    Raises:
        UnprovenError: there is none; the text says why.
    """
    if not path().exists():
        raise UnprovenError(f"There is no file {path()}.")
    proof = _read().proofs.get(context)
    if proof is None:
        raise UnprovenError(f"{path()} has no proof of {context}.")
    if proof.code != digest():
        raise UnprovenError(
            f"The code has changed since the proof in {path()}, of {times.shown(proof.proven_at)}."
        )
    return proof


def evidence(context: str, unproven: str) -> str:
    """Return on what a context is moved, in a sentence for the record of the move; ``unproven`` is the reason to do without."""
    if unproven:
        return f"unproven: {unproven}"
    try:
        return str(of(context))
    except UnprovenError:
        return "no proof was asked for: it moves back, or on from a database of its own"


def digest() -> str:
    """Return the SHA-256 of the project's code: all apps of its own, and the package of its URLs, but for tests."""
    parties, whole = Parties(), hashlib.sha256()
    for name, file in sorted(set(_files(parties))):
        whole.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _files(parties: Parties) -> Iterator[tuple[str, Path]]:
    """Yield each file with its name, which is the same on every machine."""
    for package, folder in _packages():
        if _INSTALLED.intersection(folder.parts) or folder.is_relative_to(_KIT):
            continue
        for file in folder.rglob("*.py"):
            if not parties.is_test(file):
                yield f"{package}/{file.relative_to(folder).as_posix()}", file


def _packages() -> Iterator[tuple[str, Path]]:
    for app in apps.get_app_configs():
        yield app.name, Path(app.path).resolve()
    name = str(getattr(settings, "ROOT_URLCONF", "")).partition(".")[0]
    spec = find_spec(name) if name else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield name, Path(folder).resolve()


def _read() -> _File:
    try:
        return _File.model_validate(json.loads(path().read_bytes()))
    except OSError as error:
        raise UnprovenError(f"{path()} cannot be read: {error.strerror}.") from error
    except (ValidationError, ValueError, RecursionError) as error:
        raise UnprovenError(f"{path()} holds no proofs: {str(error).splitlines()[0]}. Delete it.") from error


def now() -> datetime:
    """Return the time of a proof."""
    return datetime.now(UTC)
