"""The verdict on a run: what fails now and did not inline, with the steps that had not run, or ran after the commit."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from microworkflows.cutover.suite.baseline import Baseline, Outcome
from microworkflows.cutover.suite.ways import Way

Told = Mapping[str, str]
"""A step as plain JSON: context, way, workflow, event, and what was wrong with it."""

_NOTHING = "nothing of these contexts that is known of: look at what the test shares with others"
_SAID = {
    Way.INLINE: "ran inline",
    Way.SHADOW: "ran inline, and in shadow",
    Way.WITHHELD: "had not run",
    Way.LIVE: "ran after the commit",
}


@dataclass
class Seen:
    """What was seen of a run."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Outcome of each test, by its id."""
    steps: dict[str, list[Told]] = field(default_factory=dict)
    """Steps that a test triggered, by its id."""
    shared: dict[str, list[Told]] = field(default_factory=dict)
    """Steps that all tests of a class have in common, by the class's id."""

    def of(self, test: str) -> list[Told]:
        """Return the steps behind a test."""
        return [*self.shared.get(test.rpartition("::")[0], ()), *self.steps.get(test, ())]

    def count(self, context: str) -> int:
        """Return the number of steps of a context that were triggered."""
        every = [*self.steps.values(), *self.shared.values()]
        return sum(step["context"] == context and not step["wrong"] for steps in every for step in steps)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A run compared with the baseline."""

    newly_failing: tuple[str, ...]
    wrong_steps: tuple[str, ...]
    """Tests that pass, though a step of theirs failed when it was delivered, or differed in shadow."""
    newly_passing: tuple[str, ...]
    failing_anyway: tuple[str, ...]
    failing_unknown: tuple[str, ...]
    """Tests that fail and are not in the baseline."""
    not_comparable: tuple[str, ...]
    """Other tests that only one of the two runs has seen through."""
    untriggered: tuple[str, ...]
    """Contexts of which no test triggered a step."""

    @property
    def is_clear(self) -> bool:
        """True if nothing speaks against the mode."""
        return not (self.newly_failing or self.wrong_steps or self.failing_unknown)

    @property
    def proves_nothing(self) -> bool:
        """True if a context was never triggered: then no test can tell."""
        return bool(self.untriggered)


def compare(seen: Seen, before: Baseline, *, contexts: Sequence[str]) -> Verdict:
    """Compare a run with its baseline."""
    old, new = before.outcomes, seen.outcomes
    failing = [test for test in new if new[test] == "failed"]
    ran = {test for test in new if new[test] != "skipped"}
    ran_before = {test for test in old if old[test] != "skipped"}
    unknown = [test for test in failing if test not in ran_before]
    return Verdict(
        newly_failing=tuple(test for test in failing if old.get(test) == "passed"),
        wrong_steps=tuple(
            test for test in new if new[test] != "failed" and any(step["wrong"] for step in seen.of(test))
        ),
        newly_passing=tuple(test for test in new if new[test] == "passed" and old.get(test) == "failed"),
        failing_anyway=tuple(test for test in failing if old.get(test) == "failed"),
        failing_unknown=tuple(unknown),
        not_comparable=tuple(sorted((ran ^ ran_before) - set(unknown))),
        untriggered=untriggered(seen, contexts),
    )


def untriggered(seen: Seen, contexts: Sequence[str]) -> tuple[str, ...]:
    """Return the contexts of which no test triggered a step."""
    return tuple(context for context in contexts if not seen.count(context))


def sums(seen: Seen, ways: Mapping[str, Way]) -> Iterator[str]:
    """Yield a line for each context: how much of it the suite saw."""
    for context, way in ways.items():
        tests = sum(any(step["context"] == context for step in seen.of(test)) for test in seen.outcomes)
        yield f"{context}={way}: {seen.count(context)} steps in {tests} of {len(seen.outcomes)} tests"


def proves_nothing(contexts: Sequence[str]) -> Iterator[str]:
    """Yield what to say of contexts that no test triggered."""
    for context in contexts:
        yield (
            f"PROVES NOTHING for {context}: no test triggered a step of it in this mode. Do the tests record its events, and are "
            "they among those that ran? Steps that a test delivers itself, in flows that it marks otherwise, do not count."
        )


def lines(verdict: Verdict, seen: Seen) -> Iterator[str]:
    """Yield the verdict for people, the worst first."""
    yield from proves_nothing(verdict.untriggered)
    yield from _grouped("newly failing", verdict.newly_failing, seen)
    yield from _grouped("passing, but a step of it did not do its work", verdict.wrong_steps, seen)
    yield from _grouped("failing, and not in the baseline, so perhaps new", verdict.failing_unknown, seen)
    yield from _listed("newly passing", verdict.newly_passing)
    yield from _listed("not comparable: only one of the two runs saw it through", verdict.not_comparable)
    if verdict.failing_anyway:
        yield f"{len(verdict.failing_anyway)} failing inline, too: they tell nothing"
    if verdict.is_clear and not verdict.proves_nothing:
        yield "Nothing is new against the baseline."


def _grouped(title: str, tests: Sequence[str], seen: Seen) -> Iterator[str]:
    if not tests:
        return
    yield f"{len(tests)} {title}:"
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for test in tests:
        groups[_steps(seen.of(test)) or (_NOTHING,)].append(test)
    for steps, these in sorted(groups.items()):
        yield from (f"  {step}" for step in steps)
        yield from (f"      {test}" for test in these)


def _steps(steps: Sequence[Told]) -> tuple[str, ...]:
    """Return what to say of steps, each once; of one that failed, the failure alone."""
    wrong = {(step["workflow"], step["event"]) for step in steps if step["wrong"]}
    said = {_said(step) for step in steps if step["wrong"] or (step["workflow"], step["event"]) not in wrong}
    return tuple(sorted(said))


def _listed(title: str, tests: Sequence[str]) -> Iterator[str]:
    if tests:
        yield f"{len(tests)} {title}:"
        yield from (f"      {test}" for test in tests)


def _said(step: Told) -> str:
    on = f"{step['workflow']} on {step['event']}"
    return f"{on} failed: {step['wrong']}" if step["wrong"] else f"{on} {_SAID[Way(step['way'])]}"
