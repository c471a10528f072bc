"""Footprints: who else reads and writes what the steps of a context write, from a file of the X-ray.

A shadow run sees a step and nothing around it. Other code may read in the same request what the step writes, or write it, too;
once the context is live, that code meets the rows later, or from another transaction. The X-ray finds such code; the file
that it wrote is believed as far as it goes, and what it does not tell is unknown.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from microworkflows import registry, times
from microworkflows.cutover import conf, footprint_file, legacy_steps
from microworkflows.cutover.footprint_file import Footprint, Other, Written


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
    unknown: tuple[str, ...]
    """Why nothing is known, or not all of it, and what to do, in sentences; empty if all is."""
    readers: int
    writers: int
    said: tuple[str, ...]
    """Lines for people; the first one sums up."""

    @property
    def figures(self) -> str:
        """A few words for a table."""
        numbers = {"readers": self.readers, "writers": self.writers}
        if self.is_clear:
            return _("nobody else")
        if not self.unknown:
            return _("%(readers)s read, %(writers)s write") % numbers
        if self.readers or self.writers:
            return _("at least %(readers)s read, %(writers)s write") % numbers
        return _("unknown")


def summary(context: str) -> Summary:
    """Return the footprint of a context in short."""
    known = of_context(context)
    return Summary(
        is_clear=known.is_clear,
        unknown=known.unknown,
        readers=known.readers,
        writers=known.writers,
        said=tuple(lines(known)),
    )


def of_context(context: str) -> Known:
    """Return what the file tells of the steps of a context: its microworkflows and the legacy steps in their place."""
    steps = tuple(steps_of(context))
    try:
        file = footprint_file.load()
    except footprint_file.UnknownError as error:
        return Known(
            context=context, unknown=(str(error), _advice(steps)), tables=(), recorded_at=None, steps=steps
        )
    found = {footprint.function: footprint for footprint in file.footprints}
    unknown = [
        _("%(file)s tells nothing of the step %(step)s.") % {"file": conf.footprint(), "step": step}
        for step in steps
        if step not in found
    ]
    if not steps:
        unknown.append(_("%(context)s has no step in this process.") % {"context": context})
    unknown += [
        _("The X-ray could not look at %(what)s: %(why)s") % {"what": gap.what, "why": gap.why}
        for gap in file.gaps
    ]
    if changed := footprint_file.changed(file):
        named = f"{', '.join(changed[:5])}{' …' if len(changed) > 5 else ''}"
        unknown.append(
            _("%(number)s of the files that it names have changed since, or are gone: %(named)s.")
            % {"number": len(changed), "named": named}
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
        yield _(
            "Footprint of %(context)s: nobody else reads or writes what its steps write, as of %(age)s."
        ) % {"context": known.context, "age": _age(known)}
        return
    if known.recorded_at is None:
        reason, advice = known.unknown
        yield _("Footprint of %(context)s: unknown. %(reason)s") % {
            "context": known.context,
            "reason": reason,
        }
        yield advice
        return
    yield _(
        "Footprint of %(context)s, as of %(age)s: %(readers)s other places read what its steps write, and %(writers)s other "
        "places write it, too. No shadow run shows what they see."
    ) % {
        "context": known.context,
        "age": _age(known),
        "readers": known.readers,
        "writers": known.writers,
    }
    for reason in known.unknown:
        yield "  " + _("partly unknown: %(reason)s") % {"reason": reason}
    for table in known.tables:
        for other in table.in_the_way:
            yield f"  {other.file}:{other.line}  {described(table, other)}"


def described(table: Written, other: Other) -> str:
    """Return a sentence about another place at a table, and what it sees once the context is live."""
    columns = f" ({', '.join(other.columns)})" if other.columns else ""
    who = other.function or other.app or _("code at a module's level")
    if other.inside:
        who = _("%(function)s in %(inside)s") % {"function": who, "inside": other.inside}
    if other.later:
        sees = other.later
    elif other.writes:
        sees = _(
            "it no longer runs in one transaction with the step: whoever comes first, the other does not see it yet"
        )
    else:
        sees = _("it sees the rows as they were before the step, until the context's worker has done it")
    sentence = (
        _("%(who)s, after the step in the same flow, does %(act)s [%(evidence)s]: %(sees)s")
        if other.synchronous
        else _("%(who)s does %(act)s [%(evidence)s]: %(sees)s")
    )
    act = f"{other.verb} {table.table}{columns}"
    return sentence % {"who": who, "act": act, "evidence": other.evidence, "sees": sees}


def touching(context: str, tables: Collection[str]) -> Iterator[str]:
    """Yield a line for each place where the steps of a context write one of these tables, as far as the file tells."""
    known = of_context(context)
    for reason in known.unknown:
        yield f"footprint unknown, or in part: {reason}"
    for table in known.tables:
        if table.table in tables:
            for at in table.written_at:
                yield f"{at.file}:{at.line}  {at.verb} {table.table}, in a step of {context}"


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
    command = (
        f"python -m microworkflows_xray footprint {' '.join(all_steps)} --format json > {conf.footprint()}"
    )
    return _("Who else reads and writes what its steps write is not known. Make a footprint: %(command)s") % {
        "command": command
    }


def _age(known: Known) -> str:
    assert known.recorded_at is not None
    days = (datetime.now(UTC) - known.recorded_at).days
    told = {"time": times.shown(known.recorded_at), "days": days}
    return ngettext("%(time)s (%(days)s day ago)", "%(time)s (%(days)s days ago)", days) % told


def _dotted(function: Callable[..., Any]) -> str:
    plain = inspect.unwrap(function.func if isinstance(function, functools.partial) else function)
    return f"{plain.__module__}.{plain.__qualname__}".replace(".<locals>", "")
