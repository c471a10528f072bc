"""Comparing a look with the baseline: what is new, what has gone, what only moved, and what could not be looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from microworkflows_xray.guard.baseline import Allowed, Baseline
from microworkflows_xray.guard.violations import Violation, renamed


@dataclass(frozen=True)
class Moved:
    """A violation that is still there, elsewhere."""

    before: Violation
    now: Violation


@dataclass(frozen=True)
class Comparison:
    """What a look found beside the baseline."""

    new: tuple[Violation, ...]
    gone: tuple[Violation, ...]
    moved: tuple[Moved, ...]
    partial: tuple[str, ...]
    """Reasons why less was looked at, or by other borders, than before; each a sentence."""

    @property
    def holds(self) -> bool:
        """True if nothing got worse, as far as a whole look can tell."""
        return not self.new and not self.partial


def compare(before: Baseline, now: Baseline) -> Comparison:
    """Compare two looks. A renamed app, a moved file and a fork are no decoupling: their violations moved."""
    as_named = {one: one for one in before.violations}
    for old, new in _renamed_apps(before, now):
        as_named = {renamed(now_named, old, new): first for now_named, first in as_named.items()}
    left, found = dict(as_named), {one: one for one in now.violations}
    moved = []
    for one in sorted(left.keys() & found.keys()):
        before_one, now_one = left.pop(one), found.pop(one)
        if before_one != now_one:
            moved.append(Moved(before_one, now_one))
    for one in sorted(left):
        if same := [each for each in found if _is_same(one, each)]:
            nearest = min(same, key=lambda each: (each.source != one.source, each))
            moved.append(Moved(left.pop(one), found.pop(nearest)))
    gone = tuple(sorted(left.values()))
    return Comparison(
        new=tuple(found[one] for one in sorted(found)),
        gone=gone,
        moved=tuple(sorted(moved, key=lambda each: each.before)),
        partial=tuple(_partial(before, now, gone)),
    )


def _is_same(one: Violation, other: Violation) -> bool:
    """Tell whether a function of the same name does the same to the same, in another module or another context."""
    if (one.kind, one.name, one.subject) != (other.kind, other.name, other.subject):
        return False
    return bool(one.name) or one.source == other.source or _last(one.module) == _last(other.module)


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _renamed_apps(
    before: Baseline, now: Baseline
) -> Iterator[tuple[tuple[str, str, str], tuple[str, str, str]]]:
    """Yield label, name and context, before and now, of each app that is called otherwise."""
    for label in sorted(before.apps.keys() & now.apps.keys()):
        if before.apps[label].name != now.apps[label].name:
            yield _names(before, label), _names(now, label)
    arrived = sorted(now.apps.keys() - before.apps.keys())
    present = set(now.violations)
    for label in sorted(before.apps.keys() - now.apps.keys()):
        concerned = [one for one in before.violations if _concerns(one, before, label)]
        score: Counter[str] = Counter()
        for other in arrived:
            score[other] = sum(
                renamed(one, _names(before, label), _names(now, other)) in present for one in concerned
            )
        best = max(score, key=lambda other: score[other], default="")
        if best and score[best] * 2 > len(concerned):
            arrived.remove(best)
            yield _names(before, label), _names(now, best)


def _names(look: Baseline, label: str) -> tuple[str, str, str]:
    return label, look.apps[label].name, look.apps[label].context


def _concerns(violation: Violation, look: Baseline, label: str) -> bool:
    app = look.apps[label]
    return app.context in (violation.source, violation.target) or f"{violation.module}.".startswith(
        f"{app.name}."
    )


def _partial(before: Baseline, now: Baseline, gone: tuple[Violation, ...]) -> Iterator[str]:
    for label in sorted(before.apps.keys() - now.apps.keys()):
        if lost := sum(_concerns(one, before, label) for one in gone):
            yield (
                f"The app {label} ({before.apps[label].name}) can no longer be looked at, and {lost} violations went with it. "
                "Is it still installed, and one of the contexts?"
            )
    for label in sorted(before.apps.keys() & now.apps.keys()):
        old, new = before.apps[label].context, now.apps[label].context
        if old != new:
            yield f"The app {label} was in the context {old}, and is now in {new}: other borders have other violations."
    for gap in sorted(set(now.gaps) - set(before.gaps)):
        yield f"Not looked at: {gap}."


def updated(before: Baseline, now: Baseline, comparison: Comparison, *, reason: str = "") -> Baseline:
    """Return the baseline that keeps what is left, and what is new only for a reason."""
    added = (*map(str, comparison.new), *comparison.partial)
    allowed = (*before.allowed, Allowed(reason, added)) if reason and added else before.allowed
    return replace(now, allowed=allowed)
