"""Transactions that span contexts: the ones seen, and the functions of which the code says so.

Each is a decision to be made before a context can leave: what may happen later, and what is undone if that fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.evidence import Judged
from microworkflows_xray.facts import WRITES, Access, Observed, Place, Static


@dataclass(frozen=True, order=True)
class Written:
    """A table that a transaction writes."""

    context: str
    """Empty for a shared table."""
    table: str
    verbs: tuple[str, ...]
    columns: tuple[str, ...]
    """Sorted; empty for whole rows."""


@dataclass(frozen=True)
class Span:
    """A transaction, or a function, that writes tables of several contexts."""

    kind: str
    """Kind of the transaction; ``function`` if it is predicted."""
    name: str
    contexts: tuple[str, ...]
    """Contexts it writes, sorted; at least two."""
    written: tuple[Written, ...]
    count: int = 0
    """How often it was seen; 0 if it is predicted."""
    inside: str = ""
    on_commit: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    seconds: float = 0.0
    """Mean duration."""
    lock_wait_seconds: float = 0.0
    """Mean wait for locks."""
    place: Place | None = None


def observed_spans(observed: Observed | None, contexts: Contexts) -> tuple[Span, ...]:
    """Return the transactions seen that wrote at least two contexts, the most frequent first. A whole test is none."""
    spans = []
    for seen in observed.transactions if observed else ():
        written = _written((access for access in seen.accesses if access.verb in WRITES), contexts)
        names = _names(written)
        if seen.kind != "test" and len(names) > 1:
            times = max(seen.count, 1)
            spans.append(
                Span(
                    seen.kind, seen.name, names, written, seen.count, seen.inside, seen.on_commit, seen.network,
                    seen.seconds / times, seen.lock_wait_seconds / times,
                )
            )  # fmt: skip
    return tuple(sorted(spans, key=lambda span: (-len(span.contexts), -span.count, span.kind, span.name)))


def predicted_spans(static: Static, judged: tuple[Judged, ...], contexts: Contexts) -> tuple[Span, ...]:
    """Return the functions in which, with all that they call, writes of several contexts come together first.

    A function that only calls one of them is left out. Tasks and ``on_commit`` functions run in a transaction of their own.
    """
    own: dict[str, list[Access]] = defaultdict(list)
    places: dict[str, Place] = {}
    for one in judged:
        if one.access.verb in WRITES and one.access.place.function:
            own[one.access.place.function].append(one.access)
            places.setdefault(one.access.place.function, one.access.place)
    calls = nx.DiGraph()
    calls.add_nodes_from(sorted(own))
    for call in static.calls:
        if call.how not in {"task", "on_commit", "callback"}:
            calls.add_edge(call.caller, call.callee)
            places.setdefault(call.caller, call.place)
    spans = [
        Span("function", name, _names(written), written, place=places.get(name))
        for name, written in _meetings(
            calls, {name: _written(found, contexts) for name, found in own.items()}
        )
    ]
    return tuple(sorted(spans, key=lambda span: (-len(span.contexts), span.name)))


def _meetings(
    calls: nx.DiGraph, own: dict[str, tuple[Written, ...]]
) -> Iterable[tuple[str, tuple[Written, ...]]]:
    """Yield functions that write several contexts, none of whose callees writes as many of them."""
    knots = nx.condensation(calls)
    reached: dict[int, frozenset[Written]] = {}
    for knot in reversed(list(nx.topological_sort(knots))):
        members = sorted(knots.nodes[knot]["members"])
        below = [reached[callee] for callee in knots.successors(knot)]
        reached[knot] = frozenset().union(*(own.get(name, ()) for name in members), *below)
        names = _names(reached[knot])
        if len(names) > 1 and all(_names(each) != names for each in below):
            yield members[0], tuple(sorted(_joined(reached[knot])))


def _names(written: Iterable[Written]) -> tuple[str, ...]:
    return tuple(sorted({one.context for one in written} - {Contexts.SHARED}))


def _written(accesses: Iterable[Access], contexts: Contexts) -> tuple[Written, ...]:
    """Return the tables that accesses write, each once."""
    return tuple(
        sorted(
            _joined(
                Written(contexts.of_table(access.table), access.table, (access.verb,), access.columns or ())
                for access in accesses
            )
        )
    )


def _joined(parts: Iterable[Written]) -> list[Written]:
    """Return one record a table, with all verbs; with no columns if any part writes whole rows."""
    by_table: dict[tuple[str, str], list[Written]] = defaultdict(list)
    for part in parts:
        by_table[part.context, part.table].append(part)
    return [
        Written(
            context,
            table,
            tuple(sorted({verb for part in found for verb in part.verbs})),
            tuple(sorted({name for part in found for name in part.columns}))
            if all(part.columns for part in found)
            else (),
        )
        for (context, table), found in by_table.items()
    ]
