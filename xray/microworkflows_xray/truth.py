"""Hold what the code predicts against what was recorded: recall and precision of write pairs and of sites, each difference by name.

A *write pair* is an app and a table of another app that it writes. A *site* is a function and a table that it writes by itself.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TextIO

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import WRITES, Access, Observed, Static


@dataclass(frozen=True)
class Score:
    """Predicted things beside the ones that were observed. Names are sorted."""

    found: tuple[str, ...]
    """Predicted and observed."""
    missed: tuple[str, ...]
    """Observed, but not predicted."""
    surplus: tuple[str, ...]
    """Predicted, but not observed although its code ran: a wrong prediction, or a case that no test has."""
    cascades: tuple[str, ...]
    """Predicted only because rows that refer to a deleted one go with it, and the tests had no such rows when the code ran."""
    never_executed: tuple[str, ...]
    """Predicted of code that never ran, so that nobody can tell."""

    @property
    def recall(self) -> float | None:
        """Share of the observed that was predicted; None if nothing was observed."""
        return _share(len(self.found), len(self.missed))

    @property
    def precision(self) -> float | None:
        """Share of all that was predicted that was observed; None if nothing was predicted."""
        return _share(len(self.found), len(self.surplus) + len(self.cascades) + len(self.never_executed))

    @property
    def precision_of_executed(self) -> float | None:
        """The same, of predictions about code that ran, without cascades that had no rows."""
        return _share(len(self.found), len(self.surplus))


@dataclass(frozen=True)
class Workflow:
    """A function that wrote tables of several contexts within one transaction, with all that it called."""

    function: str
    observed: tuple[str, ...]
    """Contexts whose tables it wrote."""
    predicted: tuple[str, ...]
    """Contexts whose tables it writes after what the code says."""

    @property
    def found(self) -> bool:
        """True if the code tells that it writes more than one context."""
        return len(self.predicted) > 1

    @property
    def complete(self) -> bool:
        """True if the code tells all the contexts."""
        return set(self.observed) <= set(self.predicted)


@dataclass(frozen=True)
class Truth:
    """The outcome."""

    pairs: Score
    sites: Score
    workflows: tuple[Workflow, ...]
    """All that were observed to write more than one context."""
    seconds: float
    """Time that reading the code took."""
    peak_megabytes: float
    units: int
    """Tests or requests that the recording stands on."""
    gaps: tuple[str, ...] = field(default=())
    """What either half could not see."""


def compare(static: Static, observed: Observed) -> Truth:
    """Compare predictions with recordings; tables without a model, and places outside the code that was looked at, do not count."""
    owners = {model.table: model.app for model in static.models}
    seen = [
        access
        for transaction in observed.transactions
        for access in transaction.accesses
        if access.place.file
    ]
    seen = [access for access in seen if access.verb in WRITES and access.table in owners]
    predicted = [access for access in static.accesses if access.verb in WRITES and access.table in owners]
    executed = {*observed.executed, *(access.place.function for access in seen)}
    return Truth(
        pairs=_score(_pairs(seen, owners), _pairs(predicted, owners), executed),
        sites=_score(_sites(seen), _sites(predicted), executed),
        workflows=_workflows(static, observed, predicted),
        seconds=static.seconds,
        peak_megabytes=static.peak_megabytes,
        units=observed.units,
        gaps=tuple(f"{gap.what}: {gap.why}" for gap in (*static.gaps, *observed.gaps)),
    )


def run(
    static: Static,
    observed: Observed,
    *,
    format: Literal["text", "json"] = "text",  # noqa: A002 - as the option is named
    out: TextIO = sys.stdout,
) -> int:
    """Compare, and write the outcome. Returns 0, or 2 if the recording has no write that could be compared."""
    truth = compare(static, observed)
    if format == "json":
        out.write(json.dumps(_plain(truth), indent=1) + "\n")
    else:
        out.write("\n".join(_lines(truth)) + "\n")
    if not truth.sites.found and not truth.sites.missed:
        out.write(
            ""
            if format == "json"
            else "Nothing can be compared: the recording has no write by code that was looked at. Was it made here?\n"
        )
        return 2
    return 0


def _pairs(accesses: Iterable[Access], owners: dict[str, str]) -> dict[str, list[Access]]:
    """Return the accesses behind each pair, by the pair's name."""
    pairs: dict[str, list[Access]] = {}
    for access in accesses:
        if access.place.app != owners[access.table]:
            pairs.setdefault(f"{access.place.app or '(no app)'} → {access.table}", []).append(access)
    return pairs


def _sites(accesses: Iterable[Access]) -> dict[str, list[Access]]:
    sites: dict[str, list[Access]] = {}
    for access in accesses:
        sites.setdefault(f"{access.place.function or access.place.file} → {access.table}", []).append(access)
    return sites


def _score(seen: dict[str, list[Access]], predicted: dict[str, list[Access]], executed: set[str]) -> Score:
    ran = {
        name: [access for access in predicted[name] if _ran(access.place.function, executed)]
        for name in predicted.keys() - seen.keys()
    }
    cascades = {
        name
        for name, accesses in ran.items()
        if accesses and all(access.how == "possible cascade" for access in accesses)
    }
    return Score(
        found=tuple(sorted(seen.keys() & predicted.keys())),
        missed=tuple(sorted(seen.keys() - predicted.keys())),
        surplus=tuple(sorted(name for name, accesses in ran.items() if accesses and name not in cascades)),
        cascades=tuple(sorted(cascades)),
        never_executed=tuple(sorted(name for name, accesses in ran.items() if not accesses)),
    )


def _ran(function: str, executed: set[str]) -> bool:
    """Tell whether a function ran, or any method of a class."""
    return function in executed or any(name.startswith(f"{function}.") for name in executed)


def _workflows(static: Static, observed: Observed, predicted: list[Access]) -> tuple[Workflow, ...]:
    contexts = Contexts.divide({}, static)
    seen: dict[str, set[str]] = {}
    for transaction in observed.transactions:
        if not transaction.atomic or transaction.kind == "test":
            continue
        for writer in transaction.writers:
            written = _contexts(writer.tables, contexts)
            if len(written) > 1:
                seen.setdefault(writer.function, set()).update(written)
    tables = _Footprints(static, predicted)
    return tuple(
        Workflow(
            function, tuple(sorted(seen[function])), tuple(sorted(_contexts(tables.of(function), contexts)))
        )
        for function in sorted(seen)
    )


def _contexts(tables: Iterable[str], contexts: Contexts) -> set[str]:
    return {contexts.of_table(table) for table in tables} - {Contexts.SHARED}


class _Footprints:
    """Tables that functions write with all that they call."""

    def __init__(self, static: Static, predicted: list[Access]) -> None:
        self._calls: dict[str, set[str]] = {}
        for call in static.calls:
            self._calls.setdefault(call.caller, set()).add(call.callee)
        self._tables: dict[str, set[str]] = {}
        for access in predicted:
            self._tables.setdefault(access.place.function, set()).add(access.table)

    def of(self, function: str) -> set[str]:
        """Return the tables, however deep the calls are."""
        reached, waiting = {function}, [function]
        while waiting:
            new = self._calls.get(waiting.pop(), set()) - reached
            reached |= new
            waiting += new
        return {table for name in reached for table in self._tables.get(name, ())}


def _share(found: int, others: int) -> float | None:
    return round(found / (found + others), 4) if found + others else None


def _plain(truth: Truth) -> dict[str, object]:
    plain = dataclasses.asdict(truth)
    for name, score in (("pairs", truth.pairs), ("sites", truth.sites)):
        figures = {
            "recall": score.recall,
            "precision": score.precision,
            "precision_of_executed": score.precision_of_executed,
        }
        plain[name] = {**figures, **plain[name]}
    for workflow, record in zip(truth.workflows, plain["workflows"], strict=True):
        record |= {"found": workflow.found, "complete": workflow.complete}
    return plain


def _lines(truth: Truth) -> list[str]:
    lines = [
        f"Recorded: {truth.units} tests or requests. Reading the code took {truth.seconds:.1f} s and {truth.peak_megabytes:.0f} MB."
    ]
    for title, score in (("Write pairs", truth.pairs), ("Sites that write", truth.sites)):
        lines += [
            "",
            f"{title}: recall {_figure(score.recall)}, precision {_figure(score.precision)}, of code that ran {_figure(score.precision_of_executed)}",
            *_listed("missed", score.missed),
            *_listed("surplus", score.surplus),
            *_listed("cascade without rows", score.cascades),
            *_listed("never executed", score.never_executed),
        ]
    missing = [workflow for workflow in truth.workflows if not workflow.found]
    lines += [
        "",
        f"Functions that wrote more than one context in a transaction: {len(truth.workflows)}, of which {len(missing)} are not predicted",
    ]
    for workflow in truth.workflows:
        if not workflow.complete:
            lacking = sorted(set(workflow.observed) - set(workflow.predicted))
            lines.append(
                f"  {workflow.function}: wrote {', '.join(workflow.observed)}; not predicted: {', '.join(lacking)}"
            )
    if truth.gaps:
        lines += ["", f"Gaps: {len(truth.gaps)}", *_listed("gap", truth.gaps)]
    return lines


def _listed(label: str, names: Iterable[str]) -> list[str]:
    return [f"  {label}: {name}" for name in names]


def _figure(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.2f}"
