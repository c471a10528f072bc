"""Violations: the bonds between contexts without their line numbers, so that code which moves stays what it was."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from microworkflows_xray import graph
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import App, Place, Static


@dataclass(frozen=True, order=True)
class Violation:
    """One context depends on another in a function."""

    source: str
    target: str
    kind: str
    """Kind of the bond, such as ``write`` or ``import``."""
    at: str
    """``module:Class.function``, or ``module``, of the original where it lies in a fork."""
    subject: str
    """Table, field or dotted name that it depends on."""
    place: Place = field(default=Place("", 0), compare=False)
    """First line at which it does; of a violation that was read from a file, nothing."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.at} -> {self.subject} ({self.source} -> {self.target})"

    @property
    def module(self) -> str:
        """Return the module."""
        return self.at.partition(":")[0]

    @property
    def name(self) -> str:
        """Return the name inside the module; empty at its level."""
        return self.at.partition(":")[2]


def of(static: Static, contexts: Contexts) -> tuple[Violation, ...]:
    """Return the violations of a look, sorted, each once."""
    originals = _originals(static, contexts)
    found: dict[Violation, Violation] = {}
    for edge in graph.bonds(static, None, contexts).edges:
        source, target = (originals.get(context, context) for context in (edge.source, edge.target))
        if source == target:
            continue
        for bond in edge.bonds:
            at, subject = _at(bond.place), bond.subject
            for app in static.apps:
                at, subject = _unforked(app, at), _unforked(app, subject)
            one = Violation(source, target, bond.kind, at, subject, bond.place)
            found[one] = min(one, found.get(one, one), key=lambda each: each.place)
    return tuple(found[one] for one in sorted(found))


def _originals(static: Static, contexts: Contexts) -> dict[str, str]:
    """Return the context of the original for each context that is a fork of it under another label."""
    by_name = {app.name: app for app in static.apps}
    pairs = [(app, by_name[app.forked_from]) for app in static.apps if app.forked_from in by_name]
    named = ((contexts.of_app(fork.label), contexts.of_app(original.label)) for fork, original in pairs)
    return {fork: original for fork, original in named if fork and original}


def _unforked(app: App, text: str) -> str:
    """Name the code of a fork as its original is named."""
    if app.forked_from and f"{text.partition(':')[0]}.".startswith(f"{app.name}."):
        return app.forked_from + text[len(app.name) :]
    return text


def _at(place: Place) -> str:
    """Return ``module:Class.function`` of a place."""
    module = place.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if not place.function:
        return module
    parts = module.split(".")  # the file's path may begin above the package, as in src/shop
    for start in range(len(parts)):
        package = ".".join(parts[start:])
        if place.function.startswith(f"{package}."):
            return f"{package}:{place.function[len(package) + 1 :]}"
    return place.function


def renamed(violation: Violation, old: tuple[str, str, str], new: tuple[str, str, str]) -> Violation:
    """Return a violation as it reads once an app, given by its label, name and context, is called otherwise."""
    subject = violation.subject
    beginnings = {f"{old[1]}.": f"{new[1]}.", f"{old[0]}.": f"{new[0]}.", f"{old[0]}_": f"{new[0]}_"}
    for before, after in beginnings.items():
        if subject.startswith(before):
            subject = after + subject[len(before) :]
            break
    at = violation.at
    if f"{violation.module}.".startswith(f"{old[1]}."):
        at = new[1] + at[len(old[1]) :]
    contexts = {old[2]: new[2]}
    return replace(
        violation,
        source=contexts.get(violation.source, violation.source),
        target=contexts.get(violation.target, violation.target),
        at=at,
        subject=subject,
    )
