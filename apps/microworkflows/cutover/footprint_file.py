"""The footprint's file: what the X-ray wrote, checked where it is read, and whether the code is still as it was."""

import functools
import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microworkflows.cutover import conf

_LARGEST = 64 * 1024 * 1024
"""Largest file that is read, in bytes."""
_WRITES = ("insert", "update", "delete")

Line = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(max_length=2000)]
Verb = Literal["read", "insert", "update", "delete"]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Writing(_Read):
    """A line by which a step writes a table, itself or by what it calls."""

    file: Text
    line: Line
    function: Text = ""
    verb: Verb


class Other(_Read):
    """An access by code outside the step to a table that the step writes."""

    file: Text
    line: Line
    function: Text = ""
    app: Text = ""
    verb: Verb
    columns: tuple[Text, ...] | None = None
    """Columns that it names; None for whole rows, or where nobody knows."""
    evidence: Text = "predicted"
    inside: Text = ""
    """Unit in which it runs, such as ``POST checkout:preview``; empty if unknown."""
    synchronous: bool = False
    """True if it runs after the step in the same request or transaction."""
    later: Text = ""
    """What it sees or does once the step runs later, in the X-ray's words."""

    @property
    def writes(self) -> bool:
        """True if it writes the table."""
        return self.verb in _WRITES


class Written(_Read):
    """A table that a step writes, and everybody else at it."""

    table: Text
    model: Text = ""
    columns: tuple[Text, ...] | None = None
    written_at: tuple[Writing, ...] = ()
    others: tuple[Other, ...] = ()

    @property
    def in_the_way(self) -> tuple[Other, ...]:
        """The others that may meet what the step writes: none whose columns are known and are not the step's.

        Rows that come or go concern everybody, whatever columns they name.
        """
        rows_change = any(writing.verb in ("insert", "delete") for writing in self.written_at)
        return tuple(
            other
            for other in self.others
            if rows_change
            or self.columns is None
            or other.columns is None
            or other.verb in ("insert", "delete")
            or set(other.columns) & set(self.columns)
        )


class Footprint(_Read):
    """Everything that one function writes, with all that it calls."""

    function: Text
    tables: tuple[Written, ...]


class Gap(_Read):
    """Something that the X-ray could not look at."""

    what: Text
    why: Text = ""


class Footprints(_Read):
    """The file."""

    format: Literal[1]
    kind: Literal["footprint"]
    recorded_at: datetime
    root: str
    files: dict[str, str]
    """SHA-256 of each file that is named, as it was."""
    gaps: tuple[Gap, ...]
    footprints: tuple[Footprint, ...]


class UnknownError(Exception):
    """The file tells nothing; the text says why."""


def load() -> Footprints:
    """Return the file.

    Raises:
        UnknownError: it is not there, cannot be read, or is no footprint.
    """
    path = conf.footprint()
    try:
        stat = path.stat()
        return _parsed(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise UnknownError(_("There is no file %(path)s.") % {"path": path}) from None
    except OSError as error:
        said = _("%(path)s cannot be read: %(error)s.") % {"path": path, "error": error.strerror}
        raise UnknownError(said) from error


@functools.lru_cache(maxsize=4)
def _parsed(path: Path, changed_at: int, size: int) -> Footprints:
    if size > _LARGEST:
        raise UnknownError(
            _("%(path)s is larger than %(most)s bytes, and is not read.") % {"path": path, "most": _LARGEST}
        )
    try:
        return Footprints.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = _("%(path)s is no footprint of the X-ray: %(where)s: %(error)s.")
        raise UnknownError(said % {"path": path, "where": where, "error": first["msg"]}) from error
    except (ValueError, RecursionError) as error:
        raise UnknownError(_("%(path)s is not JSON: %(error)s.") % {"path": path, "error": error}) from error


def changed(file: Footprints) -> list[str]:
    """Return the files that are no longer as the X-ray saw them."""
    tables = [table for footprint in file.footprints for table in footprint.tables]
    named = {writing.file for table in tables for writing in table.written_at}
    named |= {other.file for table in tables for other in table.others}
    return sorted(
        name
        for name in named | file.files.keys()
        if name not in file.files or _digest(file, name) != file.files[name]
    )


def _digest(file: Footprints, name: str) -> str:
    for root in (str(conf.footprint().parent), file.root, *filter(None, sys.path)):
        if (path := Path(root, name)).is_file():
            stat = path.stat()
            return _digest_of(path, stat.st_mtime_ns, stat.st_size)
    return ""


@functools.lru_cache(maxsize=10_000)
def _digest_of(path: Path, changed_at: int, size: int) -> str:
    """Return a file's SHA-256; it is read again once it has changed, for the page shows each context and polls."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
