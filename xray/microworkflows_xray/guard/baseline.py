"""The baseline: today's violations in a file of the repository, one a line and sorted, so that a diff shows what changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Static
from microworkflows_xray.guard import violations
from microworkflows_xray.guard.violations import Violation

FORMAT = 1
ABOUT = "Violations of the contexts' borders, written by `xray guard`. The list may only shrink; do not add to it by hand."


class BaselineError(Exception):
    """The baseline cannot be read or written; the text says why, and what to do."""


@dataclass(frozen=True)
class LookedAt:
    """An app that was looked at, and the context it is in."""

    name: str
    """Dotted name of its package, or of the app of which it is a fork."""
    context: str


@dataclass(frozen=True)
class Allowed:
    """Violations that came later, and why."""

    reason: str
    added: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """A look at a project as guard keeps it."""

    apps: dict[str, LookedAt]
    violations: tuple[Violation, ...]
    gaps: tuple[str, ...] = ()
    allowed: tuple[Allowed, ...] = ()


def of(static: Static, contexts: Contexts, *, allowed: tuple[Allowed, ...] = ()) -> Baseline:
    """Return the baseline that this look makes.

    Raises:
        BaselineError: nothing was looked at.
    """
    apps = {
        app.label: LookedAt(app.forked_from or app.name, context)
        for app in static.apps
        if (context := contexts.of_app(app.label)) != Contexts.SHARED
    }
    if not apps:
        raise BaselineError(
            "No app of the project was looked at, so there is nothing to guard. `xray look` says why."
        )
    return Baseline(apps, violations.of(static, contexts), _gaps(static), allowed)


def _gaps(static: Static) -> tuple[str, ...]:
    """Name what could not be looked at, without lines, so that a gap which moves stays the same."""
    return tuple(sorted({f"{gap.what} ({gap.place.file})" if gap.place else gap.what for gap in static.gaps}))


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline."""
    pairs: dict[str, dict[str, list[str]]] = {}
    for one in sorted(baseline.violations):
        kinds = pairs.setdefault(f"{one.source} -> {one.target}", {})
        kinds.setdefault(one.kind, []).append(f"{one.at} -> {one.subject}")
    plain = {
        "about": ABOUT,
        "format": FORMAT,
        "apps": {
            label: {"name": app.name, "context": app.context} for label, app in sorted(baseline.apps.items())
        },
        "gaps": list(baseline.gaps),
        "violations": pairs,
        "allowed": [{"reason": each.reason, "added": list(each.added)} for each in baseline.allowed],
    }
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: there is none, or it is not what :func:`write` writes.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaselineError(
            f"There is no {path}. Write down today's violations with `xray guard --init`."
        ) from None
    except ValueError as error:
        raise BaselineError(
            f"{path} is not JSON: {error}. Resolve a merge conflict by `xray guard --update`."
        ) from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise BaselineError(
            f"{path} is no baseline of format {FORMAT}. Which file did `xray guard --init` write?"
        )
    try:
        return Baseline(
            apps={label: LookedAt(app["name"], app["context"]) for label, app in plain["apps"].items()},
            violations=tuple(sorted(_violations(plain["violations"]))),
            gaps=tuple(plain["gaps"]),
            allowed=tuple(Allowed(each["reason"], tuple(each["added"])) for each in plain["allowed"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BaselineError(
            f"{path} was changed by hand: {error!r}. Take the version of the last commit."
        ) from error


def _violations(pairs: dict[str, dict[str, list[str]]]) -> Iterable[Violation]:
    for pair, kinds in pairs.items():
        source, target = pair.split(" -> ")
        for kind, lines in kinds.items():
            for line in lines:
                at, subject = line.split(" -> ")
                yield Violation(source, target, kind, at, subject)
