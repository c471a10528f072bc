"""The bonds between contexts, each with its place: what the facts say, once they are read by context instead of by app."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.evidence import Judged
from microworkflows_xray.facts import WRITES, Place, Relation, Static

Kind = Literal[
    "write", "foreign key", "join", "read", "generic relation", "signal", "call", "task", "import", "loader"
]

WEIGHTS: dict[Kind, int] = {
    "write": 5,
    "foreign key": 3,
    "join": 3,
    "read": 2,
    "generic relation": 2,
    "signal": 2,
    "call": 1,
    "task": 1,
    "import": 1,
    "loader": 1,
}
"""Points for each site of a kind, heaviest first. A write of a foreign table needs a new way to do it, a decision about what happens
in between, and a move of rows; a foreign key or a join needs columns of its own; a read can be served by a copy or a call; a name
in the code needs an edit. They are a yardstick for comparing contexts of one project, not hours."""

FAMILIES: dict[Kind, str] = {
    "write": "writes",
    "foreign key": "keys",
    "generic relation": "keys",
    "join": "reads",
    "read": "reads",
    "signal": "code",
    "call": "code",
    "task": "code",
    "import": "code",
    "loader": "code",
}
"""The four families in which a report draws and filters bonds."""

NAMES = {
    "writes": "writes",
    "keys": "foreign keys",
    "reads": "reads and joins",
    "code": "calls and imports",
    "spans": "transactions",
    "shared": "auth, sites and the like",
}
"""Names of the families; the last two are parts of a cost, and no bonds between contexts."""


@dataclass(frozen=True, order=True)
class Bond:
    """One context depends on another, here."""

    source: str
    """Context whose code or column it is; empty for code of the project that is in no context."""
    target: str
    """Context it depends on; of shared infrastructure, the app's label."""
    kind: Kind
    subject: str
    """Table, field, or dotted name that it depends on."""
    place: Place
    detail: str = ""
    """What it does there, in words."""
    evidence: str = ""
    """Of an access, what speaks for it (:mod:`microworkflows_xray.evidence`); empty for what the code says outright."""
    shared: bool = False
    """True if the target is an installed app that all contexts use, such as auth."""

    @property
    def site(self) -> tuple[str, str, str]:
        """Return file, function and subject: several lines of one function that do the same count once."""
        return (self.place.file, self.place.function, self.subject)


class End(NamedTuple):
    """What is depended on: a context, or an app if that is shared."""

    context: str
    app: str


@dataclass(frozen=True)
class Finder:
    """Reads facts by context."""

    static: Static
    contexts: Contexts
    judged: tuple[Judged, ...]
    _app_by_module: dict[str, str] = field(default_factory=dict)

    def bonds(self) -> tuple[Bond, ...]:
        """Return the bonds between different contexts, and those with shared infrastructure; sorted, each once."""
        found = [
            *self._relations(),
            *self._imports(),
            *self._accesses(),
            *self._calls(),
            *self._signals(),
            *self._tasks(),
        ]
        return tuple(sorted(set(found)))

    def _bond(
        self, source: str, target: End, kind: Kind, subject: str, place: Place, *words: str
    ) -> Iterator[Bond]:
        """Yield the bond, unless both ends are one context, or the foreign one is unknown."""
        detail, evidence = (*words, "", "")[:2]
        if target.context == Contexts.SHARED:
            if target.app and source:
                yield Bond(source, target.app, kind, subject, place, detail, evidence, shared=True)
        elif source != target.context:
            yield Bond(source, target.context, kind, subject, place, detail, evidence)

    def _relations(self) -> Iterator[Bond]:
        for relation in self.static.relations:
            generic = relation.kind == "generic" or relation.to == "*"
            target = End(Contexts.SHARED, "contenttypes") if generic else self._model(relation.to)
            kind: Kind = "generic relation" if generic else "foreign key"
            subject = f"{relation.model}.{relation.field}"
            source = self._model(relation.model).context
            yield from self._bond(source, target, kind, subject, relation.place, _in_words(relation))

    def _imports(self) -> Iterator[Bond]:
        relations = {(relation.place.file, relation.place.line) for relation in self.static.relations}
        for one in self.static.imports:
            if one.how == "string" and (one.place.file, one.place.line) in relations:
                continue  # the relation itself is counted
            kind: Kind = "import" if one.how == "import" else "loader"
            yield from self._bond(
                self._here(one.place), self._name(one.name, one.app), kind, one.name, one.place
            )

    def _accesses(self) -> Iterator[Bond]:
        for one in self.judged:
            access, source = one.access, self._here(one.access.place)
            columns = f" {', '.join(access.columns)}" if access.columns else ""
            words = f"{access.verb}s{columns} by {access.how}" + (
                "" if one.predicted else " (seen only while running)"
            )
            kind: Kind = "write" if access.verb in WRITES else "read"
            yield from self._bond(
                source, self._table(access.table), kind, access.table, access.place, words, one.evidence
            )
            for joined in access.joins:
                words = f"joined to {access.table}"
                yield from self._bond(
                    source, self._table(joined), "join", joined, access.place, words, one.evidence
                )

    def _calls(self) -> Iterator[Bond]:
        receivers = {signal.function for signal in self.static.signals if signal.role == "receiver"}
        for call in self.static.calls:
            if call.how == "callback" or (call.how == "signal" and call.callee in receivers):
                continue  # the callee depends on the caller, not the other way round
            kind: Kind = "task" if call.how == "task" else "signal" if call.how == "signal" else "call"
            words = "" if call.how == "call" else f"by {call.how}"
            yield from self._bond(
                self._here(call.place), self._name(call.callee), kind, call.callee, call.place, words
            )

    def _signals(self) -> Iterator[Bond]:
        for signal in self.static.signals:
            if signal.role != "receiver":
                continue
            of = f"{signal.signal.rpartition('.')[2]} of {signal.sender}" if signal.sender else signal.signal
            known = signal.sender in self._models
            target = self._model(signal.sender) if known else self._name(signal.sender or signal.signal)
            words = f"received by {signal.function}"
            yield from self._bond(self._here(signal.place), target, "signal", of, signal.place, words)

    def _tasks(self) -> Iterator[Bond]:
        known = {(call.place.file, call.place.line) for call in self.static.calls if call.how == "task"}
        for task in self.static.tasks:
            if task.role == "enqueued" and (task.place.file, task.place.line) not in known:
                target, words = self._name(task.name), f"by {task.library}"
                yield from self._bond(self._here(task.place), target, "task", task.name, task.place, words)

    def _here(self, place: Place) -> str:
        return self.contexts.of_place(place)

    def _table(self, table: str) -> End:
        return End(self.contexts.of_table(table), self._tables.get(table, ""))

    def _name(self, dotted: str, app: str = "") -> End:
        """Return the end that a dotted name is: code follows its module, if that is divided from its app."""
        app = app or self._app_of_name(dotted)
        return End(self.contexts.of_place(Place("", 0, dotted, app)), app)

    def _model(self, label: str) -> End:
        """Return the end that a model is: by its table, for a division by model; by its app if it has no table that is known."""
        app, table = self._models.get(label, (label.partition(".")[0], ""))
        return End(self.contexts.of_table(table) if table else self.contexts.of_app(app), app)

    @cached_property
    def _models(self) -> dict[str, tuple[str, str]]:
        return {model.label: (model.app, model.table) for model in self.static.models}

    @cached_property
    def _tables(self) -> dict[str, str]:
        return {model.table: model.app for model in self.static.models}

    @cached_property
    def _packages(self) -> dict[str, str]:
        return {app.name: app.label for app in self.static.apps}

    def _app_of_name(self, dotted: str) -> str:
        """Return the label of the app whose package is the nearest around a dotted name; empty if there is none."""
        package = dotted
        if dotted not in self._app_by_module:
            while package and package not in self._packages:
                package = package.rpartition(".")[0]
            self._app_by_module[dotted] = self._packages.get(package, "")
        return self._app_by_module[dotted]


def sites(bonds: Iterable[Bond]) -> int:
    """Count the sites of bonds."""
    return len({bond.site for bond in bonds})


def _in_words(relation: Relation) -> str:
    if relation.kind == "generic":
        return "refers to any model, with no constraint"
    constraint = "database constraint" if relation.constraint else "no database constraint"
    return ", ".join(filter(None, [f"{relation.kind} to {relation.to}", relation.on_delete, constraint]))
