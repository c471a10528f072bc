"""The end of a run, whoever ran the tests: the baseline is written, or the run is compared with it."""

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path

from microworkflows.cutover.suite import baseline, verdict
from microworkflows.cutover.suite.baseline import Baseline, BaselineError
from microworkflows.cutover.suite.verdict import Seen
from microworkflows.cutover.suite.ways import Way


class Exit(IntEnum):
    """Exit code of a run."""

    CLEAR = 0
    """Nothing is new, or the baseline is written."""
    NEW = 1
    """Something speaks against the mode."""
    PROVES_NOTHING = 4
    """The mode could not apply, a context was never triggered, or there is no baseline (pytest's usage error)."""


def writes(ways: Mapping[str, Way]) -> bool:
    """Return True if a run in these ways makes the baseline."""
    return set(ways.values()) == {Way.INLINE}


def judge(seen: Seen, ways: Mapping[str, Way], path: Path, before: Baseline | None) -> tuple[Exit, list[str]]:
    """Compare a run with the baseline, or write it where there is none to compare with; return what to say of it."""
    said, contexts = list(verdict.sums(seen, ways)), list(ways)
    if before is not None:
        found = verdict.compare(seen, before, contexts=contexts)
        said += verdict.lines(found, seen)
        if found.proves_nothing:
            return Exit.PROVES_NOTHING, said
        return Exit.CLEAR if found.is_clear else Exit.NEW, said
    if untriggered := verdict.untriggered(seen, contexts):
        return Exit.PROVES_NOTHING, [*said, *verdict.proves_nothing(untriggered), "No baseline is written."]
    try:
        baseline.write(path, seen.outcomes)
    except BaselineError as error:
        return Exit.PROVES_NOTHING, [*said, str(error)]
    failing = sum(outcome == "failed" for outcome in seen.outcomes.values())
    said.append(f"{path} holds the outcomes of {len(seen.outcomes)} tests; {failing} of them fail anyway.")
    return Exit.CLEAR, said
