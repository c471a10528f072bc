"""The report in a few sentences, for whoever reads no further."""

from __future__ import annotations

from collections.abc import Sequence

from microworkflows_xray.report.content import Content
from microworkflows_xray.report.words import kinds, many


def sentences(content: Content) -> list[str]:
    """Return what to know first, in plain words: where to begin, what binds most, and what stands in the way."""
    return [*_order(content), *_bond(content), *_span(content), *_cycles(content)]


def _order(content: Content) -> list[str]:
    ranking = content.ranking
    if len(ranking) < 2:
        return [
            "There is one context only. The proposal below divides it; give that to --contexts, and look again."
        ]
    tables = {one.name for one in content.graph.contexts if one.tables}
    owners = [one for one in ranking if one.context in tables and one.parts]
    free = [one.context for one in ranking if not one.parts]
    loose = [f"Nothing that was looked at holds {_list(free)}."] if free else []
    if not owners:
        return loose
    first, last = owners[0], max(ranking, key=lambda one: one.cost)
    begin = f"Begin with {first.context}: of those that own tables it costs least. {first.sentence}"
    later = f"Leave {last.context} for later: taking it out first would cost {many(last.cost, 'point')}."
    return [begin, *loose, later]


def _bond(content: Content) -> list[str]:
    edges = content.graph.edges
    if not edges:
        return ["No context depends on another, as far as the code tells."]
    heaviest = max(edges, key=lambda edge: edge.weight)
    return [f"The strongest dependency is that of {heaviest.source} on {heaviest.target}: {kinds(heaviest)}."]


def _span(content: Content) -> list[str]:
    if content.observed is None:
        found = many(len(content.predicted), "function")
        return [
            f"The code says that {found} would write several contexts. Record a run to see which really do."
        ]
    if not content.spans:
        return ["No transaction was seen to write several contexts."]
    widest = content.spans[0]
    text = f"{widest.kind.capitalize()} {widest.name} writes {_list(widest.contexts)} in one transaction, seen {many(widest.count, 'time')}"
    return [f"{text}; it calls {_list(widest.network)} while that is open." if widest.network else f"{text}."]


def _cycles(content: Content) -> list[str]:
    cycles = content.graph.cycles
    if not cycles:
        return ["There is no cycle between contexts in what was looked at."]
    members = len(cycles[0].contexts)
    cut = len(cycles[0].cut)
    return [
        f"{members} contexts depend on each other in a circle; without {many(cut, 'dependency', 'dependencies')} listed below they would not."
    ]


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
