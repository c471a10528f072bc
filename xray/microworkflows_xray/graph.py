"""The graph of contexts: which are there, what binds each pair, which cycles that makes, and which bonds would have to go."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from microworkflows_xray import evidence
from microworkflows_xray.bonds import FAMILIES, WEIGHTS, Bond, Finder, Kind, sites
from microworkflows_xray.contexts import Contexts
from microworkflows_xray.evidence import Judged
from microworkflows_xray.facts import WRITES, Observed, Static


@dataclass(frozen=True)
class Context:
    """A part of the project that could stand alone."""

    name: str
    apps: tuple[str, ...]
    tables: tuple[str, ...]
    writers: int
    """Number of sites, of any context, that write its tables."""


@dataclass(frozen=True)
class Edge:
    """Everything by which one context depends on another."""

    source: str
    target: str
    bonds: tuple[Bond, ...]

    @cached_property
    def kinds(self) -> dict[Kind, tuple[Bond, ...]]:
        """Return the bonds of each kind that there is, heaviest kind first."""
        found: dict[Kind, list[Bond]] = defaultdict(list)
        for bond in self.bonds:
            found[bond.kind].append(bond)
        return {kind: tuple(found[kind]) for kind in WEIGHTS if kind in found}

    def count(self, *kinds: Kind) -> int:
        """Return the number of sites of these kinds, or of all."""
        return sum(sites(self.kinds.get(kind, ())) for kind in kinds or WEIGHTS)

    @cached_property
    def weight(self) -> int:
        """Return the points of all sites."""
        return sum(WEIGHTS[kind] * sites(bonds) for kind, bonds in self.kinds.items())

    @cached_property
    def family(self) -> str:
        """Return the family of its heaviest kind: the worst that it does."""
        return FAMILIES[next(iter(self.kinds))]


@dataclass(frozen=True)
class Cycle:
    """Contexts each of which depends, in the end, on each other one."""

    contexts: tuple[str, ...]
    mutual: tuple[tuple[str, str], ...]
    """Pairs that depend on each other directly."""
    cut: tuple[Edge, ...]
    """A light set of dependencies without which no cycle is left; the lightest is not promised."""


@dataclass(frozen=True)
class Graph:
    """What binds the contexts of a project."""

    contexts: tuple[Context, ...]
    edges: tuple[Edge, ...]
    """Dependencies between contexts, sorted by source and target."""
    shared: tuple[Edge, ...]
    """What contexts use of installed apps, such as auth and sites: named apart, for each context will need its own answer to it."""
    outside: tuple[Edge, ...]
    """What code that is in no context uses of them: URL configurations, settings, scripts."""
    judged: tuple[Judged, ...]
    """All accesses with their evidence, those inside a context as well."""

    @cached_property
    def by_pair(self) -> dict[tuple[str, str], Edge]:
        """Return the dependencies by source and target."""
        return {(edge.source, edge.target): edge for edge in self.edges}

    @cached_property
    def cycles(self) -> tuple[Cycle, ...]:
        """Return the cycles, largest first."""
        digraph = nx.DiGraph()
        for edge in self.edges:
            digraph.add_edge(edge.source, edge.target, weight=edge.weight)
        rings = [sorted(ring) for ring in nx.strongly_connected_components(digraph) if len(ring) > 1]
        return tuple(self._cycle(ring) for ring in sorted(rings, key=lambda ring: (-len(ring), ring)))

    @cached_property
    def order(self) -> list[str]:
        """Return the contexts so that, by weight, most dependencies point from an earlier to a later one."""
        return _light_order(
            [one.name for one in self.contexts], {pair: edge.weight for pair, edge in self.by_pair.items()}
        )

    def _cycle(self, ring: list[str]) -> Cycle:
        mutual = tuple(
            (one, two)
            for one in ring
            for two in ring
            if one < two and {(one, two), (two, one)} <= self.by_pair.keys()
        )
        order = _light_order(ring, {pair: edge.weight for pair, edge in self.by_pair.items()})
        back = [edge for edge in self.edges if edge.source in order and edge.target in order]
        back = [edge for edge in back if order.index(edge.source) > order.index(edge.target)]
        return Cycle(
            tuple(ring), mutual, tuple(sorted(back, key=lambda edge: (edge.weight, edge.source, edge.target)))
        )


def bonds(static: Static, observed: Observed | None, contexts: Contexts) -> Graph:
    """Return the graph of a project's contexts. Without a recording, all accesses are predicted only."""
    judged = evidence.judge(static, observed)
    grouped: dict[tuple[str, str, bool], list[Bond]] = defaultdict(list)
    for bond in Finder(static, contexts, judged).bonds():
        grouped[bond.source, bond.target, bond.shared].append(bond)
    edges = [Edge(source, target, tuple(found)) for (source, target, _), found in sorted(grouped.items())]
    return Graph(
        contexts=_contexts(static, contexts, judged),
        edges=tuple(edge for edge in edges if edge.source and not edge.bonds[0].shared),
        shared=tuple(edge for edge in edges if edge.source and edge.bonds[0].shared),
        outside=tuple(edge for edge in edges if not edge.source),
        judged=judged,
    )


def _contexts(static: Static, contexts: Contexts, judged: tuple[Judged, ...]) -> tuple[Context, ...]:
    apps, tables, writers = (defaultdict[str, set[object]](set) for _ in range(3))
    for app in static.apps:
        apps[contexts.of_app(app.label)].add(app.label)
    for model in static.models:
        tables[contexts.of_table(model.table)].add(model.table)
    for one in judged:
        if one.access.verb in WRITES:
            writers[contexts.of_table(one.access.table)].add(evidence.site(one.access))
    names = (set(contexts.names) | set(apps) | set(tables)) - {Contexts.SHARED}
    return tuple(
        Context(
            name,
            tuple(sorted(map(str, apps[name]))),
            tuple(sorted(map(str, tables[name]))),
            len(writers[name]),
        )
        for name in sorted(names)
    )


def _light_order(ring: list[str], weights: dict[tuple[str, str], int]) -> list[str]:
    """Return the contexts in an order in which few points run from a later to an earlier one; none, if there is no cycle.

    By the heuristic of Eades, Lin and Smyth: whoever depends on nobody left goes to the end, whoever nobody left depends on
    to the start; if there is neither, whoever has the greatest surplus of outgoing over incoming points goes to the start.
    """
    left = list(ring)
    start: list[str] = []
    end: list[str] = []
    while left:
        going = {one: sum(weights.get((one, other), 0) for other in left) for one in left}
        coming = {one: sum(weights.get((other, one), 0) for other in left) for one in left}
        if sinks := [one for one in left if not going[one] and coming[one]]:
            end = [*sinks, *end]
            left = [one for one in left if one not in sinks]
        else:
            best = max(left, key=lambda one: (not coming[one], going[one] - coming[one], -ring.index(one)))
            start.append(best)
            left.remove(best)
    return [*start, *end]
