"""What a report says, whatever its format: everything is found here once, and the formats only write it down."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from microworkflows_xray import graph as graphs
from microworkflows_xray import proposal as proposals
from microworkflows_xray import ranking as rankings
from microworkflows_xray import transactions
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Gap, Observed, Static
from microworkflows_xray.footprint import Footprint
from microworkflows_xray.graph import Graph
from microworkflows_xray.proposal import Proposal
from microworkflows_xray.ranking import Candidate
from microworkflows_xray.report import words
from microworkflows_xray.transactions import Span


class EmptyError(Exception):
    """There is nothing to report; the text says why, and what to do."""


@dataclass(frozen=True)
class Content:
    """A report before it has a format."""

    static: Static
    observed: Observed | None
    graph: Graph
    spans: tuple[Span, ...]
    """Transactions seen that write several contexts."""
    predicted: tuple[Span, ...]
    """Functions of which the code says that they do."""
    ranking: tuple[Candidate, ...]
    proposal: Proposal
    gaps: tuple[Gap, ...]
    footprint: Footprint | None = None
    """Footprint of a chosen step; None if none was chosen."""
    seams: Any = None
    """Seams of a chosen workflow (:mod:`microworkflows_xray.seams`); None if none was chosen."""

    @property
    def name(self) -> str:
        """Return the project's name."""
        return PurePath(self.static.root).name or self.static.settings.partition(".")[0] or "project"

    @property
    def partial(self) -> str:
        """Return in one sentence that something is missing; empty if nothing is."""
        if not self.gaps:
            return ""
        count = f"{len(self.gaps)} thing{'s' * (len(self.gaps) > 1)}"
        return f"This report is partial: {count} could not be looked at. What is missing counts as nothing in each number below."

    @property
    def evidence(self) -> dict[str, int]:
        """Return the number of accesses by what speaks for them."""
        counts = Counter(one.evidence for one in self.graph.judged)
        return {name: counts[name] for name in ("observed", "predicted only", "never executed")}

    @property
    def recording(self) -> str:
        """Return in one sentence what was recorded, or that nothing was."""
        seen = self.observed
        if seen is None:
            return "Nothing was recorded: each access is predicted from the code, and none has been seen."
        if seen.source == "tests":
            return f"Recorded while {seen.units} tests ran."
        return f"Recorded from {seen.units} requests, {seen.sampled:.0%} of those that came."


def build(static: Static, observed: Observed | None, contexts: Contexts) -> Content:
    """Return what a report says about a project.

    Raises:
        EmptyError: no app of the project, or nothing in one, could be looked at.
    """
    _refuse_nothing(static)
    graph = graphs.bonds(static, observed, contexts)
    spans = transactions.observed_spans(observed, contexts)
    return Content(
        static=static,
        observed=observed,
        graph=graph,
        spans=spans,
        predicted=transactions.predicted_spans(static, graph.judged, contexts),
        ranking=rankings.ranking(graph, spans),
        proposal=proposals.propose(static, graph.judged, observed),
        gaps=tuple(dict.fromkeys((*static.gaps, *(observed.gaps if observed else ())))),
    )


def with_chosen(content: Content, *, footprint: Footprint | None = None, seams: Any = None) -> Content:
    """Return the content with the footprint of a step, or the seams of a workflow."""
    return dataclasses.replace(
        content, footprint=footprint or content.footprint, seams=content.seams if seams is None else seams
    )


def _refuse_nothing(static: Static) -> None:
    own = [app for app in static.apps if app.origin != "installed"]
    if own and (static.models or static.imports or static.accesses):
        return
    missing = "; ".join(words.gap(gap) for gap in static.gaps[:5])
    what = "Its apps have no models, imports or queries" if own else "It has no app of its own"
    raise EmptyError(
        f"There is nothing to report about {static.root or 'this project'}. {what} that could be looked at."
        + (f" What went wrong: {missing}." if missing else "")
        + " Name its settings with --settings and its folder with --root; name packages that belong to it with --also."
    )
