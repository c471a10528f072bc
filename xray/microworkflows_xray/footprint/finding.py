"""Find who else reads and writes the rows that a step writes, from the code's facts and what was seen while it ran.

A step can agree with the old code each time it is compared, and still break the shop when it runs later: somebody reads in between what
it has not written yet. This names those places before it happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import WRITES, Access, Gap, Observed, Static, Verb
from microworkflows_xray.static.calls import Graph

Evidence = Literal["observed", "predicted", "both"]
Certainty = Literal["observed", "predicted only", "never executed"]


@dataclass(frozen=True)
class Written:
    """A table that the step writes."""

    table: str
    model: str
    """Label of its model; empty if no model has this table."""
    columns: tuple[str, ...] | None
    """Columns that the step writes, sorted; None for whole rows, or where the code does not tell."""
    verbs: tuple[Verb, ...]
    at: tuple[Access, ...]
    """Where it writes them; empty if the step was given by its columns."""


@dataclass(frozen=True)
class Other:
    """Code outside the step that reads or writes one of its tables."""

    access: Access
    context: str
    evidence: Evidence
    certainty: Certainty
    synchronous: bool
    """True if it runs after the step in the same request or transaction, as seen or as the calls tell."""
    inside: str
    """Unit in which it was seen, such as ``POST checkout:preview``; empty if it was not seen."""
    later: str
    """What it would see, or do, if the step ran later."""

    @property
    def writes(self) -> bool:
        return self.access.verb in WRITES


@dataclass(frozen=True)
class Footprint:
    """What a step writes, and who else touches that."""

    step: str
    """Dotted name of the function, or the columns."""
    writes: tuple[Written, ...]
    others: tuple[Other, ...]
    gaps: tuple[Gap, ...]
    """What could not be looked at: the lists may lack something from there."""

    @property
    def writers(self) -> tuple[Other, ...]:
        return tuple(other for other in self.others if other.writes)

    @property
    def readers(self) -> tuple[Other, ...]:
        return tuple(other for other in self.others if not other.writes)


def of_function(
    function: str, static: Static, contexts: Contexts, observed: Observed | None = None
) -> Footprint:
    """Find who else reads and writes the rows that a function, with all that it calls, writes.

    Args:
        function: Its dotted name, such as ``shop.orders.utils.Creator.place``.

    Raises:
        ProjectError: nothing in the code or the recording has this name.
    """
    graph = Graph(static.calls)
    steps = graph.reach(function)
    own = [access for access in _all(static, observed) if access.place.function in steps]
    if not own and len(steps) == 1 and function not in graph.back and not _known(function, static, observed):
        raise ProjectError(
            f"There is no function {function} in the code that was looked at. Give its dotted name, with module and class."
        )
    writes = _written([access for access in own if access.verb in WRITES], static)
    return Footprint(
        function,
        writes,
        _others(writes, steps, graph.after(function), static=static, observed=observed, contexts=contexts),
        static.gaps,
    )


def of_columns(
    columns: Iterable[str], static: Static, contexts: Contexts, observed: Observed | None = None
) -> Footprint:
    """Find who reads and writes columns, given as ``table.column``, or ``table`` for whole rows.

    Raises:
        ProjectError: a table or column is no model's.
    """
    wanted: dict[str, set[str]] = {}
    models = {model.table: model for model in static.models}
    for name in columns:
        table, _, column = name.partition(".")
        if table not in models or (column and column not in models[table].columns):
            raise ProjectError(
                f"No model has {name}. Write table.column as the database names them, such as {_example(static)}."
            )
        wanted.setdefault(table, set()).update({column} - {""})
    writes = tuple(
        Written(table, models[table].label, tuple(sorted(named)) or None, ("update",), ())
        for table, named in sorted(wanted.items())
    )
    step = ", ".join(sorted(columns))
    return Footprint(
        step,
        writes,
        _others(writes, frozenset(), frozenset(), static=static, observed=observed, contexts=contexts),
        static.gaps,
    )


def _known(function: str, static: Static, observed: Observed | None) -> bool:
    return any(call.caller == function for call in static.calls) or bool(
        observed and function in observed.executed
    )


def _example(static: Static) -> str:
    model = next((model for model in static.models if model.columns), None)
    return f"{model.table}.{model.columns[-1]}" if model else "shop_order.status"


def _all(static: Static, observed: Observed | None) -> list[Access]:
    seen = (
        [access for transaction in observed.transactions for access in transaction.accesses]
        if observed
        else []
    )
    return [*static.accesses, *seen]


def _written(accesses: Iterable[Access], static: Static) -> tuple[Written, ...]:
    labels = {model.table: model.label for model in static.models}
    by_table: dict[str, list[Access]] = {}
    for access in sorted(set(accesses), key=_order):
        by_table.setdefault(access.table, []).append(access)
    found = []
    for table, here in sorted(by_table.items()):
        whole = any(access.columns is None for access in here)
        named = {column for access in here for column in access.columns or ()}
        verbs = tuple(sorted({access.verb for access in here}))
        found.append(
            Written(table, labels.get(table, ""), None if whole else tuple(sorted(named)), verbs, tuple(here))
        )
    return tuple(found)


def _others(
    writes: Iterable[Written],
    steps: frozenset[str],
    after: frozenset[str],
    *,
    static: Static,
    observed: Observed | None,
    contexts: Contexts,
) -> tuple[Other, ...]:
    tables = {written.table: written for written in writes}
    units = _units(observed, steps, tables)
    predicted = {_site(access) for access in static.accesses}
    executed = frozenset(observed.executed) if observed else frozenset()
    found: dict[tuple[object, ...], Other] = {}
    for access in sorted(set(_all(static, observed)), key=_order):
        written = tables.get(access.table)
        if written is None or access.place.function in steps or not _meets(access, written):
            continue
        site = _site(access)
        inside, together = units.get(site, ("", False))
        was_seen = site in units
        certainty: Certainty = (
            "observed"
            if was_seen
            else "never executed"
            if executed and access.place.function not in executed
            else "predicted only"
        )
        other = Other(
            access,
            contexts.of_place(access.place),
            "both" if was_seen and site in predicted else "observed" if was_seen else "predicted",
            certainty,
            together or access.place.function in after,
            inside,
            _later(access, written),
        )
        found.setdefault((access.place, access.table, access.verb), other)
    return tuple(
        sorted(found.values(), key=lambda other: (other.context, not other.writes, _order(other.access)))
    )


def _units(
    observed: Observed | None, steps: frozenset[str], tables: Mapping[str, Written]
) -> dict[tuple[object, ...], tuple[str, bool]]:
    """For each site that was seen: a unit in which it was, and whether the step wrote in such a unit as well."""
    found: dict[tuple[object, ...], tuple[str, bool]] = {}
    for transaction in (
        sorted(observed.transactions, key=lambda each: (each.kind, each.name)) if observed else ()
    ):
        ran = any(
            access.place.function in steps and access.verb in WRITES and access.table in tables
            for access in transaction.accesses
        )
        for access in transaction.accesses:
            site = _site(access)
            if site not in found or (ran and not found[site][1]):
                found[site] = (transaction.inside or transaction.name, ran)
    return found


def _meets(access: Access, written: Written) -> bool:
    """True if an access concerns what the step writes: rows come and go for all, and columns where both name them."""
    if (
        access.columns is None
        or written.columns is None
        or written.verbs != ("update",)
        or access.verb in {"insert", "delete"}
    ):
        return True
    return not set(access.columns).isdisjoint(written.columns)


def _later(access: Access, written: Written) -> str:  # noqa: PLR0911  (a sentence each)
    """Say what an access would see or do if the step ran later."""
    columns = (
        ", ".join(sorted(set(written.columns) & set(access.columns or written.columns)))
        if written.columns
        else "values"
    )
    if "insert" in written.verbs and access.verb in {"read", "update", "delete"}:
        if access.verb == "read":
            return "would not find the rows that the step has not created yet"
        return "would act on rows that the step has not created yet: they would be missed"
    if access.verb == "read":
        if written.verbs == ("delete",):
            return "would still find the rows that the step has not deleted yet"
        return f"would still see the old {columns} until the step has run"
    if access.verb == "update":
        return f"may overwrite the step's {columns} or be overwritten: a lost update"
    if access.verb == "delete":
        return "may delete the rows first: the step would then write nothing, or fail"
    if "insert" in written.verbs:
        return "may insert the same row first: a duplicate or a conflict"
    return "may insert rows in between: the step would change or delete them as well"


def _site(access: Access) -> tuple[object, ...]:
    return (access.place.file, access.place.function, access.table, access.verb in WRITES)


def _order(access: Access) -> tuple[object, ...]:
    return (access.table, access.place, access.verb, access.how, access.columns or (), access.joins)
