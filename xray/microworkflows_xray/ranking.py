"""In which order contexts can leave the monolith, and what each would cost: a sum whose parts can be checked line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from microworkflows_xray.bonds import FAMILIES, WEIGHTS, Bond, Kind, sites
from microworkflows_xray.graph import Edge, Graph
from microworkflows_xray.transactions import Span

SPAN_WEIGHT = 8
"""Points for a transaction seen to write this context and another: it becomes a flow with a way back."""
SHARED_WEIGHT = 1
"""Points for a site at which a context reads, writes or refers to shared infrastructure."""

IN: dict[Kind, tuple[str, str]] = {
    "write": ("writing site of others", "writing sites of others"),
    "foreign key": ("foreign key in", "foreign keys in"),
    "join": ("joining query of others", "joining queries of others"),
    "read": ("synchronous reader", "synchronous readers"),
    "generic relation": ("generic relation in", "generic relations in"),
    "signal": ("receiver of its signals", "receivers of its signals"),
    "call": ("call in", "calls in"),
    "task": ("task enqueued by others", "tasks enqueued by others"),
    "import": ("import by others", "imports by others"),
    "loader": ("name loaded by others", "names loaded by others"),
}
"""Names of what others do to a context, for one and for several."""
OUT: dict[Kind, tuple[str, str]] = {
    "write": ("own site that writes others", "own sites that write others"),
    "foreign key": ("foreign key out", "foreign keys out"),
    "join": ("own query that joins others", "own queries that join others"),
    "read": ("own read of others", "own reads of others"),
    "generic relation": ("generic relation out", "generic relations out"),
    "signal": ("foreign signal it receives", "foreign signals it receives"),
    "call": ("call out", "calls out"),
    "task": ("foreign task it enqueues", "foreign tasks it enqueues"),
    "import": ("import of others", "imports of others"),
    "loader": ("name of others it loads", "names of others it loads"),
}
"""Names of what a context does to others."""
SPANS = ("transaction that also writes others", "transactions that also write others")
SHARED = ("use of auth, sites and the like", "uses of auth, sites and the like")


@dataclass(frozen=True)
class Part:
    """One line of a context's bill."""

    names: tuple[str, str]
    """What is counted, for one and for several."""
    count: int
    weight: int
    """Points for each."""
    family: str
    """Family of its bonds (:data:`microworkflows_xray.bonds.NAMES`)."""
    bonds: tuple[Bond, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def name(self) -> str:
        """Return what is counted, in the number that fits."""
        return self.names[self.count != 1]

    @property
    def points(self) -> int:
        """Return count times weight."""
        return self.count * self.weight


@dataclass(frozen=True)
class Candidate:
    """A context with its place in the order, and its bill."""

    position: int
    context: str
    cost: int
    """Points if it leaves first."""
    then: int
    """Points that are left when those before it are out: bonds with them are already paid for."""
    parts: tuple[Part, ...]

    @property
    def sentence(self) -> str:
        """Return the bill in words."""
        bill = ", ".join(f"{part.count} {part.name}" for part in self.parts)
        if not bill:
            return f"Nothing that was looked at holds {self.context}: it can move first."
        return f"Moving {self.context} out costs {self.cost} point{'s' * (self.cost != 1)}: {bill}."


def ranking(graph: Graph, spans: tuple[Span, ...] = ()) -> tuple[Candidate, ...]:
    """Return the contexts in the order in which to extract them: each time whoever costs least then, ties by name.

    Args:
        graph: the bonds.
        spans: the transactions seen that write several contexts.
    """
    names = [context.name for context in graph.contexts]
    bills = {name: tuple(_parts(name, graph, spans)) for name in names}
    gone: set[str] = set()
    ranked = []
    while len(gone) < len(names):
        left = {name: _left(name, bills[name], gone) for name in names if name not in gone}
        best = min(left, key=lambda name: (left[name], name))
        cost = sum(part.points for part in bills[best])
        ranked.append(Candidate(len(gone) + 1, best, cost, left[best], bills[best]))
        gone.add(best)
    return tuple(ranked)


def _parts(name: str, graph: Graph, spans: tuple[Span, ...]) -> Iterator[Part]:
    coming = _by_kind(edge for edge in (*graph.edges, *graph.outside) if edge.target == name)
    going = _by_kind(edge for edge in graph.edges if edge.source == name)
    shared = tuple(
        bond
        for edge in graph.shared
        if edge.source == name
        for bond in edge.bonds
        if bond.kind not in {"import", "loader", "call", "signal", "task"}
    )
    for kind, weight in WEIGHTS.items():
        for names, found in ((IN, coming[kind]), (OUT, going[kind])):
            if found:
                yield Part(names[kind], sites(found), weight, FAMILIES[kind], tuple(found))
    touching = tuple(span for span in spans if name in span.contexts)
    if touching:
        yield Part(SPANS, len(touching), SPAN_WEIGHT, "spans", spans=touching)
    if shared:
        yield Part(SHARED, sites(shared), SHARED_WEIGHT, "shared", shared)


def _by_kind(edges: Iterable[Edge]) -> defaultdict[Kind, list[Bond]]:
    found: defaultdict[Kind, list[Bond]] = defaultdict(list)
    for edge in edges:
        for kind, bonds in edge.kinds.items():
            found[kind] += bonds
    return found


def _left(name: str, parts: tuple[Part, ...], gone: set[str]) -> int:
    """Return the points of the bonds whose other end is still inside."""
    total = 0
    for part in parts:
        bonds = [
            bond for bond in part.bonds if (bond.target if bond.source == name else bond.source) not in gone
        ]
        spans = [span for span in part.spans if set(span.contexts) - gone - {name}]
        total += part.weight * (sites(bonds) + len(spans))
    return total
