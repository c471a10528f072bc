"""Facts about a project: plain records, predicted from its code or observed while it ran, kept as JSON.

Everything else in this package either finds facts, or derives something from them. A fact names apps and tables; which context
they belong to is the reader's choice (:mod:`microworkflows_xray.contexts`), so one recording serves any division.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

Origin = Literal["own", "fork", "installed"]
"""Where an app's code lies: in the project, in the project as a fork of an installed app, or in site-packages."""
Verb = Literal["read", "insert", "update", "delete"]
WRITES: frozenset[str] = frozenset({"insert", "update", "delete"})

FORMAT = 1
"""Version of the JSON; a reader refuses a later one."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of code."""

    file: str
    """Path relative to the project's root, or, of an installed package, to site-packages; with forward slashes."""
    line: int
    function: str = ""
    """Dotted name of the function or class body around it, such as ``shop.orders.utils.Creator.place``; empty at a module's level."""
    app: str = ""
    """Label of the app whose code it is; empty for code of the project that is in no app."""


@dataclass(frozen=True, order=True)
class App:
    """An installed app."""

    label: str
    name: str
    path: str
    origin: Origin = "own"
    forked_from: str = ""
    """Dotted name of the installed app of which this is a fork: it subclasses that app's config, or its models."""


@dataclass(frozen=True, order=True)
class Model:
    """A model with a table of its own: concrete, no proxy; tables of many-to-many fields included."""

    label: str
    """``app_label.ModelName``, as Django writes it."""
    table: str
    app: str
    columns: tuple[str, ...]
    place: Place
    managed: bool = True


@dataclass(frozen=True, order=True)
class Relation:
    """A field that refers to another model."""

    model: str
    field: str
    to: str
    """Label of the model referred to; ``*`` for a generic foreign key."""
    kind: Literal["foreign key", "one to one", "many to many", "generic", "inheritance"]
    on_delete: str
    """``CASCADE``, ``PROTECT``, ``DB_CASCADE`` and so on; empty where there is none."""
    constraint: bool
    """True if the database enforces it."""
    place: Place


@dataclass(frozen=True, order=True)
class Import:
    """Code of one app names code of another."""

    name: str
    """Dotted name, as far as the code says it."""
    app: str
    """Label of the app to which that belongs."""
    how: Literal["import", "loader", "string"]
    """Statement, call of a loader such as ``get_model``, or a string such as ``"app.Model"`` in a relation or a setting."""
    place: Place


@dataclass(frozen=True, order=True)
class Access:
    """Code reads or writes a table."""

    table: str
    verb: Verb
    columns: tuple[str, ...] | None
    """Columns that it names, sorted; None for whole rows, or where the code does not tell."""
    how: str
    """``query``, ``save``, ``related manager``, ``form``, ``serializer``, ``generic view``, ``admin``, ``SQL``, ``cascade`` and so on."""
    place: Place
    """Innermost line of the project's code, or of an app in it, that causes the access."""
    joins: tuple[str, ...] = ()
    """Other tables in the same query, sorted."""


@dataclass(frozen=True, order=True)
class Call:
    """One function calls another, both in the apps that were looked at."""

    caller: str
    callee: str
    place: Place
    how: Literal["call", "signal", "task", "template method", "on_commit", "callback"] = "call"
    """``callback`` where the caller was handed what it calls, as a decorator's wrapper or a middleware is."""


@dataclass(frozen=True, order=True)
class Signal:
    """A receiver of a signal, or a place that sends one."""

    signal: str
    """Dotted name, such as ``django.db.models.signals.post_save``."""
    role: Literal["receiver", "sender"]
    sender: str
    """Model's label or dotted name it is limited to; empty for any."""
    function: str
    """Dotted name of the receiver, or of the function that sends."""
    place: Place


@dataclass(frozen=True, order=True)
class Task:
    """A function that a queue runs, or a place that puts it there."""

    name: str
    library: str
    """``celery``, ``rq``, ``django-tasks``, ``dramatiq``, ``huey`` and so on."""
    role: Literal["task", "enqueued"]
    place: Place


@dataclass(frozen=True, order=True)
class Gap:
    """Something that could not be looked at; a report that has any is partial, and says so."""

    what: str
    why: str
    place: Place | None = None


@dataclass(frozen=True)
class Static:
    """Everything that the code tells."""

    root: str
    settings: str
    apps: tuple[App, ...] = ()
    models: tuple[Model, ...] = ()
    relations: tuple[Relation, ...] = ()
    imports: tuple[Import, ...] = ()
    accesses: tuple[Access, ...] = ()
    calls: tuple[Call, ...] = ()
    signals: tuple[Signal, ...] = ()
    tasks: tuple[Task, ...] = ()
    gaps: tuple[Gap, ...] = ()
    files: tuple[str, ...] = ()
    """Files that were looked at."""
    excluded: tuple[str, ...] = ()
    """Files left out on purpose: tests, factories, migrations."""
    seconds: float = 0.0
    peak_megabytes: float = 0.0


@dataclass(frozen=True, order=True)
class Writer:
    """A function, and the tables that it wrote within one unit, with all that it called."""

    function: str
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Transaction:
    """One kind of unit that commits together, as often as it was seen: a request under ATOMIC_REQUESTS, a task, an atomic block."""

    kind: Literal["request", "task", "atomic", "statement", "test"]
    name: str
    """``POST checkout:preview``, a task's name, or the function that opened the block."""
    count: int
    accesses: tuple[Access, ...]
    on_commit: tuple[str, ...] = ()
    """Dotted names of the functions that ran after the commit, in their order."""
    network: tuple[str, ...] = ()
    """Hosts called while it was open, as ``host:port``."""
    lock_wait_seconds: float = 0.0
    seconds: float = 0.0
    """Total over all times it was seen."""
    inside: str = ""
    """``kind name`` of the unit around it, such as the request in which a block ran; empty if there is none."""
    atomic: bool = True
    """False for a request or a task that did not commit as one: it lists all that happened in it, in several transactions."""
    writers: tuple[Writer, ...] = ()
    """Functions that were running while something was written, whoever called whom."""


@dataclass(frozen=True)
class Observed:
    """Everything that was seen while the project ran."""

    source: Literal["tests", "middleware", "both"]
    sampled: float
    """Share of requests that was recorded, from 0 to 1."""
    units: int
    """Number of tests or requests that were recorded."""
    transactions: tuple[Transaction, ...] = ()
    executed: tuple[str, ...] = ()
    """Dotted names of the functions that ran at least once; empty if the recorder could not tell."""
    gaps: tuple[Gap, ...] = ()
    django: str = ""
    python: str = ""
    recorded_at: str = ""
    """RFC 3339, UTC."""

    @property
    def summary(self) -> str:
        """What a recording of tests holds, in numbers."""
        return (
            f"{self.units} tests, {len(self.transactions)} kinds of units, {len(self.executed)} functions that ran, "
            f"{len(self.gaps)} gaps"
        )


Record = TypeVar("Record", Static, Observed)


def dump(facts: Static | Observed, path: Path) -> None:
    """Write facts as JSON, sorted, so that two recordings of the same can be compared line by line."""
    path.write_text(json.dumps(to_plain(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def to_plain(facts: Static | Observed) -> dict[str, Any]:
    """Return facts as what JSON can hold."""
    return {"format": FORMAT, "kind": type(facts).__name__.lower(), **as_plain(facts)}


def as_plain(value: Any) -> Any:
    """Return a record, or anything that holds records, as what JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_plain(one) for one in value]
    return value


def load(record: type[Record], path: Path) -> Record:
    """Read facts from JSON.

    Raises:
        FactsError: the file is not there, is of another kind, or was written by a later version.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FactsError(f"There is no file {path}.") from None
    except ValueError as error:
        raise FactsError(f"{path} is not JSON: {error}.") from error
    kind = record.__name__.lower()
    if not isinstance(found, dict) or found.get("kind") != kind:
        raise FactsError(f"{path} holds no {kind} facts. Is it a file that the X-ray wrote?")
    if found.get("format") != FORMAT:
        raise FactsError(
            f"{path} has format {found.get('format')}; this X-ray reads format {FORMAT}. Make it anew."
        )
    return from_plain(record, found)


def from_plain(record: type[Record], plain: dict[str, Any]) -> Record:
    """Return the facts that :func:`to_plain` made plain."""
    return typing.cast(Record, _built(record, plain))


class FactsError(Exception):
    """A file of facts cannot be read; the text says why."""


def _built(kind: Any, value: Any) -> Any:
    """Build the record, or tuple of records, that a type hint names from JSON."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (option for option in typing.get_args(kind) if option is not type(None))
    if typing.get_origin(kind) is tuple:
        (item, _) = typing.get_args(kind)
        return tuple(_built(item, each) for each in value)
    if not dataclasses.is_dataclass(kind):
        return value
    record: Any = kind
    hints = typing.get_type_hints(record)
    return record(**{name: _built(hints[name], value[name]) for name in hints if name in value})
