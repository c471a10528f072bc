"""Footprints: who else reads and writes what the steps of a context write, from a file of the X-ray.

A shadow run sees a step and nothing around it. Other code may read in the same request what the step writes, or write it, too;
once the context is live, that code meets the rows later, or from another transaction. The X-ray finds such code; the file
that it wrote is believed as far as it goes, and what it does not tell is unknown.
"""

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microworkflows import registry, times
from microworkflows.cutover import conf, legacy_steps

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


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the steps of a context; what is not, is told as unknown."""

    context: str
    unknown: tuple[str, ...]
    """Why something is unknown, in sentences; empty if everything that was to be looked at was."""
    tables: tuple[Written, ...]
    recorded_at: datetime | None
    steps: tuple[str, ...]

    @property
    def readers(self) -> int:
        """Number of other places that read what the steps write."""
        return sum(not other.writes for table in self.tables for other in table.in_the_way)

    @property
    def writers(self) -> int:
        """Number of other places that write what the steps write."""
        return sum(other.writes for table in self.tables for other in table.in_the_way)

    @property
    def is_clear(self) -> bool:
        """True if all was looked at and nobody else is at the rows."""
        return not self.unknown and not self.readers and not self.writers


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The footprint of a context, for page and command."""

    is_clear: bool
    is_unknown: bool
    """True if nothing is known, or not all of it."""
    readers: int
    writers: int
    said: tuple[str, ...]
    """Lines for people; the first one sums up."""

    @property
    def figures(self) -> str:
        """A few words for a table."""
        known = f"{self.readers} read, {self.writers} write"
        if self.is_unknown:
            return f"at least {known}" if self.readers or self.writers else "unknown"
        return "nobody else" if self.is_clear else known


def summary(context: str) -> Summary:
    """Return the footprint of a context in short."""
    known = of_context(context)
    return Summary(
        is_clear=known.is_clear,
        is_unknown=bool(known.unknown),
        readers=known.readers,
        writers=known.writers,
        said=tuple(lines(known)),
    )


def of_context(context: str) -> Known:
    """Return what the file tells of the steps of a context: its microworkflows and the legacy steps in their place."""
    steps = tuple(steps_of(context))
    try:
        file = _load()
    except _UnknownError as error:
        return Known(
            context=context, unknown=(f"{error} {_advice(steps)}",), tables=(), recorded_at=None, steps=steps
        )
    found = {footprint.function: footprint for footprint in file.footprints}
    unknown = [f"{conf.footprint()} tells nothing of the step {step}." for step in steps if step not in found]
    if not steps:
        unknown.append(f"{context} has no step in this process.")
    unknown += [f"The X-ray could not look at {gap.what}: {gap.why}" for gap in file.gaps]
    if changed := _changed(file):
        unknown.append(
            f"{len(changed)} of the files that it names have changed since, or are gone: {', '.join(changed[:5])}"
            f"{' …' if len(changed) > 5 else ''}."
        )
    if unknown:
        unknown.append(_advice(steps))
    own = set(steps)
    return Known(
        context=context,
        unknown=tuple(unknown),
        tables=_merged(own, [found[step] for step in steps if step in found]),
        recorded_at=file.recorded_at,
        steps=steps,
    )


def steps_of(context: str) -> Iterator[str]:
    """Yield the dotted names of the functions that do a context's steps."""
    for workflow in registry.workflows():
        if workflow.context == context:
            yield _dotted(workflow.function)
            if (legacy := legacy_steps.of(workflow)) is not None:
                yield _dotted(legacy.function)


def lines(known: Known) -> Iterator[str]:
    """Yield the footprint of a context for people, the summary first."""
    if known.is_clear:
        yield f"Footprint of {known.context}: nobody else reads or writes what its steps write, as of {_age(known)}."
        return
    if known.recorded_at is None:
        yield f"Footprint of {known.context}: unknown. {known.unknown[0]}"
        return
    yield (
        f"Footprint of {known.context}, as of {_age(known)}: {known.readers} other places read what its steps write, and "
        f"{known.writers} other places write it, too. No shadow run shows what they see."
    )
    for reason in known.unknown:
        yield f"  partly unknown: {reason}"
    for table in known.tables:
        for other in table.in_the_way:
            yield f"  {other.file}:{other.line}  {described(table, other)}"


def described(table: Written, other: Other) -> str:
    """Return a sentence about another place at a table, and what it sees once the context is live."""
    columns = f" ({', '.join(other.columns)})" if other.columns else ""
    who = other.function or other.app or "code at a module's level"
    inside = f" in {other.inside}" if other.inside else ""
    inside += ", after the step in the same flow," if other.synchronous else ""
    if other.later:
        sees = other.later
    elif other.writes:
        sees = "it no longer runs in one transaction with the step: whoever comes first, the other does not see it yet"
    else:
        sees = "it sees the rows as they were before the step, until the context's worker has done it"
    return f"{who}{inside} does {other.verb} {table.table}{columns} [{other.evidence}]: {sees}"


def touching(context: str, tables: Collection[str]) -> Iterator[str]:
    """Yield a line for each place where the steps of a context write one of these tables, as far as the file tells."""
    known = of_context(context)
    for reason in known.unknown:
        yield f"footprint unknown, or in part: {reason}"
    for table in known.tables:
        if table.table in tables:
            for at in table.written_at:
                yield f"{at.file}:{at.line}  {at.verb} {table.table}, in a step of {context}"


class _UnknownError(Exception):
    """The file tells nothing; the text says why."""


def _load() -> Footprints:
    path = conf.footprint()
    try:
        stat = path.stat()
        return _parsed(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        raise _UnknownError(f"There is no file {path}.") from None
    except OSError as error:
        raise _UnknownError(f"{path} cannot be read: {error.strerror}.") from error


@functools.lru_cache(maxsize=4)
def _parsed(path: Path, changed_at: int, size: int) -> Footprints:
    if size > _LARGEST:
        raise _UnknownError(f"{path} is larger than {_LARGEST} bytes, and is not read.")
    try:
        return Footprints.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _UnknownError(f"{path} is no footprint of the X-ray: {where}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise _UnknownError(f"{path} is not JSON: {error}.") from error


def _changed(file: Footprints) -> list[str]:
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
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def _merged(own: set[str], footprints: list[Footprint]) -> tuple[Written, ...]:
    """Return the tables of several steps, each once; the steps themselves are no others."""
    by_table: dict[str, Written] = {}
    for table in (table for footprint in footprints for table in footprint.tables):
        others = tuple(other for other in table.others if other.function not in own)
        if (before := by_table.get(table.table)) is None:
            by_table[table.table] = table.model_copy(update={"others": others})
            continue
        columns = (
            None
            if before.columns is None or table.columns is None
            else tuple(sorted({*before.columns, *table.columns}))
        )
        by_table[table.table] = before.model_copy(
            update={
                "columns": columns,
                "written_at": tuple(dict.fromkeys((*before.written_at, *table.written_at))),
                "others": tuple(dict.fromkeys((*before.others, *others))),
            }
        )
    return tuple(by_table[name] for name in sorted(by_table))


def _advice(steps: Collection[str]) -> str:
    """Return what to do; one file serves all contexts that are being cut over."""
    all_steps = dict.fromkeys([*steps, *(step for context in conf.contexts() for step in steps_of(context))])
    return (
        "Who else reads and writes what its steps write is not known. Make a footprint: python -m microworkflows_xray footprint "
        f"{' '.join(all_steps)} --format json > {conf.footprint()}"
    )


def _age(known: Known) -> str:
    assert known.recorded_at is not None
    at = times.local(known.recorded_at)
    return f"{at:%d %B %Y, %H:%M %Z} ({(datetime.now(UTC) - at).days} days ago)"


def _dotted(function: Callable[..., Any]) -> str:
    plain = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    return f"{plain.__module__}.{plain.__qualname__}".replace(".<locals>", "")
