"""The commands of ``python -m microworkflows_xray``: each looks, or reads what an earlier one found, and hands on."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from microworkflows_xray import facts, proposal
from microworkflows_xray import footprint as footprints
from microworkflows_xray import graph as graphs
from microworkflows_xray import options as settings_file
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import Observed, Static
from microworkflows_xray.report import FORMATS, words
from microworkflows_xray.report import content as contents

FINE, FOUND, UNUSABLE, PARTIAL = 0, 1, 2, 3
"""Exit codes: all is well; violations were found; nothing could be looked at, or the command is wrong; partial under ``--strict``."""


def look(options: Namespace) -> int:
    """Write the facts that the code tells."""
    static = _static(options)
    facts.dump(static, Path(options.output))
    _say(f"Wrote {len(static.models)} models, {len(static.accesses)} accesses and more to {options.output}.")
    return _exit(options, static)


def record(options: Namespace) -> int:
    """Run a project's tests by Django's test runner, and write what they did."""
    from microworkflows_xray import recording  # which imports Django

    code, seen = recording.run(options.program, root=Path(options.root), also=options.also or ())
    facts.dump(seen, Path(options.output))
    tell([f"X-ray: {seen.summary}: {options.output}"])
    return code


def report(options: Namespace) -> int:
    """Write the report in each format that was asked for."""
    formats = options.format.split(",")
    static, contexts, observed = _read(options)
    content = contents.build(static, observed, contexts)
    if options.function:
        content = contents.with_chosen(
            content, footprint=footprints.of_function(options.function, static, contexts, observed)
        )
    if options.workflow:
        content = contents.with_chosen(content, seams=_seams_of(options, static, contexts, observed))
    for name in formats:
        _write(FORMATS[name](content), _target(options.output, name, len(formats)))
    return _exit(options, static, observed)


def propose(options: Namespace) -> int:
    """Write proposed contexts as an ``xray.ini`` to edit."""
    static, _, observed = _read(options)
    proposed = proposal.propose(
        static, graphs.bonds(static, observed, Contexts.read(None, static)).judged, observed
    )
    if not proposed.groups:
        raise contents.EmptyError("There are no models of the project, so there is no context to propose.")
    groups = {group.name: list(group.members) for group in proposed.groups}
    if options.output == "-":
        Contexts.write(out(), groups)
        return _exit(options, static, observed)
    if (
        Path(options.output).exists()
        and settings_file.read(Path(options.output)).contexts
        and not options.force
    ):
        raise ProjectError(
            f"{options.output} has contexts already. Name another file with --output, or replace them with --force."
        )
    Contexts.write(Path(options.output), groups)
    _say(
        f"Wrote {len(groups)} proposed contexts to {options.output} (modularity {proposed.modularity:.2f}). Edit it, then give it to --contexts."
    )
    return _exit(options, static, observed)


def rank(options: Namespace) -> int:
    """Print the order in which contexts can leave, with the cost of each in words."""
    static, contexts, observed = _read(options)
    content = contents.build(static, observed, contexts)
    for one in content.ranking:
        later = f" {one.then} are left when those before it are out." if one.then != one.cost else ""
        lines = [f"{one.position}. {one.sentence}{later}"]
        for part in one.parts if options.places else ():
            lines.append(f"   {part.count} {part.name}, {part.weight} each")
            lines += [f"     {bond.place.file}:{bond.place.line} {bond.subject}" for bond in part.bonds]
            lines += [f"     {span.kind} {span.name}" for span in part.spans]
        out().writelines(f"{line}\n" for line in lines)
    return _exit(options, static, observed)


def footprint(options: Namespace) -> int:
    """Print which tables and columns a function touches, and who else does."""
    static, contexts, observed = _read(options)
    columns = tuple(options.columns.split(",")) if options.columns else ()
    code = footprints.run(
        static, contexts, functions=tuple(options.function), columns=columns, observed=observed,
        root=Path(options.root), format=options.format, out=out(),
    )  # fmt: skip
    return code or _exit(options, static, observed)


def truth(options: Namespace) -> int:
    """Print how much of what was observed the code predicted, and how much of what it predicted was observed."""
    from microworkflows_xray import truth as truths

    static, _, observed = _read(options)
    if observed is None:
        raise ProjectError("There is nothing to compare with. Name recordings with --observed.")
    return truths.run(static, observed, format=options.format, out=out()) or _exit(options, static, observed)


def seams(options: Namespace) -> int:
    """Print where a workflow hands over from one context to another."""
    from microworkflows_xray import seams as found

    static, contexts, observed = _read(options)
    code = found.run(
        static,
        contexts,
        workflow=options.workflow,
        observed=observed,
        root=Path(options.root),
        format=options.format,
        out=out(),
    )
    return code or _exit(options, static, observed)


def guard(options: Namespace) -> int:
    """Fail when a bond between contexts is there that the baseline does not have."""
    from microworkflows_xray import guard as guards

    static, contexts, _ = _read(options)
    code = guards.run(
        static, contexts, root=Path(options.root), baseline=options.baseline or Path(options.root) / "xray-guard.json",
        init=options.init, update=options.update, allow=options.allow, format=options.format,
        import_linter=options.import_linter, out=out(),
    )  # fmt: skip
    return code or _exit(options, static)


def scaffold(options: Namespace) -> int:
    """Write the event, the operation and the workflow of a seam."""
    from microworkflows_xray import scaffold as scaffolds

    static, contexts, _ = _read(options)
    code = scaffolds.run(
        static, contexts, seam=options.seam, output=options.output, root=Path(options.root), out=out()
    )
    return code or _exit(options, static)


def out() -> TextIO:
    """Return standard output; a sink if it was closed before the program began."""
    return sys.stdout or open(os.devnull, "w", encoding="utf-8")


def _static(options: Namespace) -> Static:
    """Read the facts that an earlier look wrote, or look: as the project's ``xray.ini`` says, and the command's options above that."""
    if options.facts:
        return facts.load(Static, options.facts)
    from microworkflows_xray import project, static

    wishes = settings_file.read(_ini(options))
    started = project.start(
        options.settings or wishes.settings or None,
        Path(options.root),
        also=(*wishes.also, *options.also),
        exclude=(*wishes.exclude, *options.exclude),
        loaders=wishes.loaders,
    )
    return static.look(started, include_tests=options.include_tests)


def _ini(options: Namespace) -> Path | None:
    """Return the file that divides the project: the one that was named, or its own, if it has one."""
    if options.contexts:
        return Path(options.contexts)
    own = Path(options.root) / settings_file.NAME
    return own if own.is_file() else None


def _read(options: Namespace) -> tuple[Static, Contexts, Observed | None]:
    """Read the recordings, if any, before the look, after which a process can connect to nothing; then facts and division."""
    observed = None
    if options.observed:
        from microworkflows_xray.observed import load_all

        observed = load_all(options.observed)
    static = _static(options)
    return static, Contexts.read(_ini(options), static), observed


def _seams_of(options: Namespace, static: Static, contexts: Contexts, observed: Observed | None) -> Any:
    from microworkflows_xray import seams as found

    try:
        return found.find(
            static, contexts, workflow=options.workflow, observed=observed, root=Path(options.root)
        )
    except found.UnknownWorkflowError as error:
        raise ProjectError(str(error)) from error


def _target(output: str, name: str, formats: int) -> Path | None:
    """Return the file for a format; None for standard output."""
    if output == "-":
        return None
    return Path(output) if formats == 1 and Path(output).suffix == f".{name}" else Path(f"{output}.{name}")


def _write(text: str, target: Path | None) -> None:
    if target is None:
        out().write(text)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    _say(f"Wrote {target}.")


def _exit(options: Namespace, static: Static, observed: Observed | None = None) -> int:
    """Say what is missing, and return the exit code of a command that found no violation."""
    gaps = tuple(dict.fromkeys((*static.gaps, *(observed.gaps if observed else ()))))
    if not gaps:
        return FINE
    tell(
        [
            f"Partial: {len(gaps)} thing{'s' * (len(gaps) > 1)} could not be looked at.",
            *(f"  {words.gap(gap)}" for gap in gaps),
        ]
    )
    return PARTIAL if options.strict else FINE


def _say(text: str) -> None:
    tell([text])


def tell(lines: Iterable[str]) -> None:
    """Write to standard error, which may be closed."""
    if sys.stderr:
        sys.stderr.writelines(f"{line}\n" for line in lines)
