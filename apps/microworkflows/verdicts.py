"""Verdicts on contracts: what breaks between those that were written and those that are declared, whom it hurts, and what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from microworkflows import comparison, schemas
from microworkflows.cloudevents import context_of
from microworkflows.comparison import Difference
from microworkflows.comparison.options import Schema
from microworkflows.contracts import ANNOUNCES, READS, Contracts, Name


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A change, or a reading, that breaks a contract, or of which nobody can tell."""

    name: Name
    difference: Difference | None
    says: str
    """What changed, from what to what."""
    hurts: str
    """Whom it hurts."""
    remedy: str

    @property
    def is_certain(self) -> bool:
        """False if nobody can tell."""
        return self.difference is None or self.difference.is_certain

    def __str__(self) -> str:
        doubt = "" if self.is_certain else "nobody can tell whether this is harmless: "
        return f"{self.name}: {doubt}{self.says}\n    hurts {self.hurts}\n    {self.remedy}"


def changes(*, before: Contracts, now: Contracts, foreign: Contracts) -> Iterator[Finding]:
    """Yield what breaks between the contracts that were written and those that the code declares.

    Args:
        before: Those that were written.
        now: Those that are declared.
        foreign: Those of other services.
    """
    everything = {**foreign, **now}
    for name in sorted(each for each in before if each.kind == ANNOUNCES):
        if name in now:
            yield from _of_announcement(name, before[name], now[name], everything)
        elif readers := _readers(name, everything):
            remedy = "Announce it until they hear another version."
            hurts = f"listeners: {', '.join(map(_who, readers))}"
            yield Finding(
                name=name, difference=None, says="is announced no longer", hurts=hurts, remedy=remedy
            )
    for name in sorted(each for each in everything if each.kind == READS):
        yield from _of_reading(name, before, now, foreign)


def _of_announcement(name: Name, old: Schema, new: Schema, all_of_them: Contracts) -> Iterator[Finding]:
    found: dict[Difference, Finding] = {}
    for each in comparison.differences(wanted=old, promised=new):
        says = f"{_where(each)} was {each.wanted}, is now {each.promised}"
        found[each] = _finding(name, each, says, _listeners(name, new, all_of_them))
    for each in comparison.differences(wanted=new, promised=old):
        says = f"{_where(each)} was {each.promised}, is now {each.wanted}"
        hurts = "older rows in outbox, inbox and queues, which newer code reads"
        found[each] = _finding(name, each, says, hurts)
    yield from found.values()


def _finding(name: Name, each: Difference, says: str, hurts: str) -> Finding:
    base, _, version = name.event_type.rpartition(".v")
    return Finding(
        name=name,
        difference=each,
        says=says.replace("is now left out", "may now be left out"),
        hurts=hurts,
        remedy=f"Keep {name.event_type} as it was, and announce the new form as {base}.v{int(version) + 1} beside it.",
    )


def _listeners(name: Name, new: Schema, contracts: Contracts) -> str:
    """Return which known readings a change breaks, and that others may be unknown."""
    readers = _readers(name, contracts)
    if broken := [each for each in readers if comparison.differences(wanted=contracts[each], promised=new)]:
        return f"listeners: {', '.join(map(_who, broken))}"
    return f"listeners that nobody here knows; the {len(readers)} readings that are known bear it"


def _readers(name: Name, contracts: Contracts) -> list[Name]:
    return sorted(each for each in contracts if each.kind == READS and each.event_type == name.event_type)


def _who(name: Name) -> str:
    return f"{name.context}.{name.reading}"


def _of_reading(name: Name, before: Contracts, now: Contracts, foreign: Contracts) -> Iterator[Finding]:
    """Yield what a reading asks for that its announcement, old or new, does not promise."""
    announcement = Name(context=context_of(name.event_type), kind=ANNOUNCES, event_type=name.event_type)
    promised = [
        (each[announcement], hurts)
        for each, hurts in (
            (now, "each event of this type"),
            (foreign, "each event of this type"),
            (before, "older events, in queues and inbox, which were promised otherwise"),
        )
        if announcement in each
    ]
    wanted = now[name] if name in now else foreign[name]
    seen: set[Difference] = set()
    for schema, hurts in promised:
        for each in comparison.differences(wanted=wanted, promised=schema):
            if each not in seen:
                seen.add(each)
                remedy = "Let the reading bear it, or hear a version that promises it."
                yield Finding(
                    name=name, difference=each, says=schemas.words(each), hurts=hurts, remedy=remedy
                )
    if promised or name not in before or name not in now:
        return
    for each in comparison.differences(wanted=now[name], promised=before[name]):
        yield Finding(
            name=name,
            difference=replace(each, is_certain=False),
            says=f"{_where(each)} was read as {each.promised}, is now read as {each.wanted}",
            hurts="events under way, unless the announcement promises it",
            remedy=f"Compare with the contracts of {context_of(name.event_type)}: --against FOLDER.",
        )


def unknown(*, now: Contracts, foreign: Contracts) -> list[Name]:
    """Return the readings whose announcement is known neither here nor among the foreign contracts."""
    known = {name.event_type for name in (*now, *foreign) if name.kind == ANNOUNCES}
    return sorted(name for name in now if name.kind == READS and name.event_type not in known)


def as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON objects."""
    return [
        {
            "context": each.name.context,
            "kind": each.name.kind,
            "type": each.name.event_type,
            "reading": each.name.reading or None,
            "field": each.difference.path if each.difference else None,
            "is_certain": each.is_certain,
            "says": each.says,
            "hurts": each.hurts,
            "remedy": each.remedy,
        }
        for each in findings
    ]


def _where(difference: Difference) -> str:
    return difference.path or "the payload"
