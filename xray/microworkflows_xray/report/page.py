"""What the HTML shows, ready to be printed: text, lists and small dictionaries, in the order of the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from microworkflows_xray.bonds import FAMILIES, NAMES, WEIGHTS, Bond
from microworkflows_xray.facts import Place
from microworkflows_xray.graph import Cycle, Edge
from microworkflows_xray.proposal import Group
from microworkflows_xray.ranking import SHARED_WEIGHT, SPAN_WEIGHT, Candidate, Part
from microworkflows_xray.report import contextmap
from microworkflows_xray.report.content import Content
from microworkflows_xray.report.summary import sentences
from microworkflows_xray.report.words import at, kind, kinds, many
from microworkflows_xray.transactions import Span, Written

ROWS = 4000
"""About so many places are listed on the page, shared evenly; the JSON has all."""
OPEN = 3
"""So many transactions are unfolded at first."""
FUNCTIONS = 40
"""So many predicted functions are listed."""

Shown = dict[str, Any]


def of(content: Content) -> Shown:
    """Return everything that the templates print."""
    graph = content.graph
    most = max([1, *(one.cost for one in content.ranking)])
    links = {(edge.source, edge.target): f"bond-{number}" for number, edge in enumerate(graph.edges, 1)}
    lines = (
        sum(len(edge.kinds) for edge in (*graph.edges, *graph.shared, *graph.outside))
        + len(content.ranking) * 8
    )
    limit = min(max(ROWS // max(lines, 1), 3), 40)
    return {
        "name": content.name,
        "settings": content.static.settings,
        "partial": content.partial,
        "gaps": [{"what": gap.what, "why": gap.why, "at": at(gap.place)} for gap in content.gaps],
        "recording": content.recording,
        "recorded": content.observed is not None,
        "tiles": _tiles(content),
        "evidence": [
            {"name": name, "slug": name.split()[0], "count": f"{count:,}"}
            for name, count in content.evidence.items()
        ],
        "sentences": sentences(content),
        "maps": [contextmap.draw(graph), contextmap.draw(graph, phone=True)],
        "many_contexts": len(graph.contexts) > contextmap.FEW,
        "some_faint": len(graph.edges) > contextmap.CURVES,
        "heaviest": [_link(edge, links) for edge in _by_weight(graph.edges)[:10]],
        "links": links,
        "matrix": _matrix(content, links),
        "spans": [{**_span(span), "open": index < OPEN} for index, span in enumerate(content.spans)],
        "functions": [_span(span) for span in content.predicted[:FUNCTIONS]],
        "more_functions": _more(len(content.predicted), FUNCTIONS),
        "cycles": [_cycle(cycle, links) for cycle in graph.cycles],
        "ranking": [_candidate(one, most, limit) for one in content.ranking],
        "families": [{"slug": slug, "name": name} for slug, name in NAMES.items()],
        "groups": [_group(group) for group in content.proposal.groups],
        "modularity": f"{content.proposal.modularity:.2f}",
        "divided": ", ".join(content.proposal.divided),
        "bonds": [
            {**_edge(edge, limit), "id": links[edge.source, edge.target]} for edge in _by_weight(graph.edges)
        ],
        "shared": _grouped(graph.shared, limit),
        "outside": [_edge(edge, limit) for edge in _by_weight(graph.outside)],
        "footprint": content.footprint,
        "seams": [_seam(seam) for seam in content.seams or ()],
        "seams_chosen": content.seams is not None,
        "weights": [
            {"kind": name, "points": str(points), "family": FAMILIES[name]}
            for name, points in WEIGHTS.items()
        ],
        "span_weight": str(SPAN_WEIGHT),
        "shared_weight": str(SHARED_WEIGHT),
        "excluded": many(len(content.static.excluded), "file"),
        "seconds": f"{content.static.seconds:.1f}",
    }


def _tiles(content: Content) -> list[Shown]:
    graph = content.graph
    writes, keys = (sum(edge.count(name) for edge in graph.edges) for name in ("write", "foreign key"))  # type: ignore[arg-type]
    seen = str(len(content.spans)) if content.observed else "?"
    return [
        {"number": f"{len(graph.contexts):,}", "label": "contexts", "href": "#map"},
        {"number": f"{len(graph.edges):,}", "label": "dependencies between them", "href": "#matrix"},
        {
            "number": f"{writes:,}",
            "label": "sites that write another's tables",
            "href": "#bonds",
            "family": "writes",
        },
        {"number": f"{keys:,}", "label": "foreign keys between contexts", "href": "#bonds", "family": "keys"},
        {
            "number": seen,
            "label": "transactions seen that span contexts",
            "href": "#transactions",
            "family": "spans",
        },
        {
            "number": f"{len(graph.cycles):,}",
            "label": "cycles" if len(graph.cycles) != 1 else "cycle",
            "href": "#cycles",
        },
    ]


def _matrix(content: Content, links: dict[tuple[str, str], str]) -> Shown:
    order, pairs = content.graph.order, content.graph.by_pair
    most = max([1, *(edge.weight for edge in content.graph.edges)])
    rows = []
    for down, source in enumerate(order):
        cells: list[Shown] = []
        for across, target in enumerate(order):
            edge = pairs.get((source, target))
            cell: Shown = {"context": target, "self": source == target, "edge": None}
            if edge:
                cell["edge"] = {
                    "href": f"#{links[source, target]}",
                    "count": f"{edge.count()}",
                    "family": edge.family,
                    "heat": f"{18 + 62 * (edge.weight / most) ** 0.5:.0f}%",
                    "back": down > across,
                    "title": f"{source} → {target}: {kinds(edge)}",
                }
            cells.append(cell)
        rows.append({"context": source, "cells": cells})
    return {"order": order, "rows": rows, "dense": len(order) > contextmap.FEW}


def _span(span: Span) -> Shown:
    return {
        "kind": span.kind,
        "name": span.name,
        "contexts": span.contexts,
        "written": [_written(one) for one in span.written],
        "seen": many(span.count, "time"),
        "inside": span.inside,
        "network": span.network,
        "on_commit": span.on_commit,
        "lasts": _duration(span.seconds),
        "waits": _duration(span.lock_wait_seconds),
        "at": at(span.place),
    }


def _written(one: Written) -> Shown:
    columns = ", ".join(one.columns) or "whole rows"
    return {"context": one.context, "table": one.table, "verbs": ", ".join(one.verbs), "columns": columns}


def _cycle(cycle: Cycle, links: dict[tuple[str, str], str]) -> Shown:
    return {
        "contexts": cycle.contexts,
        "count": many(len(cycle.contexts), "context"),
        "mutual": [f"{one} ⇄ {two}" for one, two in cycle.mutual[:40]],
        "more_mutual": _more(len(cycle.mutual), 40),
        "cut": [_link(edge, links) for edge in cycle.cut],
        "points": many(sum(edge.weight for edge in cycle.cut), "point"),
    }


def _candidate(one: Candidate, most: int, limit: int) -> Shown:
    points: dict[str, int] = defaultdict(int)
    for part in one.parts:
        points[part.family] += part.points
    return {
        "position": str(one.position),
        "context": one.context,
        "sentence": one.sentence,
        "cost": f"{one.cost:,}",
        "then": f"{one.then:,}",
        "less": one.then != one.cost,
        "bars": [
            {
                "family": slug,
                "width": f"{100 * points[slug] / most:.2f}%",
                "title": f"{name}: {many(points[slug], 'point')}",
            }
            for slug, name in NAMES.items()
            if points[slug]
        ],
        "parts": [_part(part, limit) for part in one.parts],
    }


def _part(part: Part, limit: int) -> Shown:
    places = [at(bond.place) + f"  {bond.subject}" for bond in part.bonds] or [
        f"{span.kind} {span.name}" for span in part.spans
    ]
    places = list(dict.fromkeys(places))
    return {
        "family": part.family,
        "name": part.name,
        "count": f"{part.count:,}",
        "weight": str(part.weight),
        "points": f"{part.points:,}",
        "places": places[:limit],
        "more": _more(len(places), limit),
    }


def _seam(seam: Any) -> Shown:
    return {
        "event": seam.event,
        "outcome": seam.outcome,
        "how": seam.how,
        "emitter": seam.emitter,
        "emitter_context": seam.emitter_context,
        "consumer": seam.consumer,
        "consumer_context": seam.consumer_context,
        "at": at(seam.place),
        "payload": [f"{field.name}: {field.type or 'a type to decide'}" for field in seam.payload],
        "query": seam.is_query,
        "can_fail": seam.can_fail,
        "id": seam.id,
    }


def _group(group: Group) -> Shown:
    return {"name": group.name, "members": group.members, "models": many(len(group.models), "model")}


def _link(edge: Edge, links: dict[tuple[str, str], str]) -> Shown:
    return {**_ends(edge), "href": f"#{links[edge.source, edge.target]}"}


def _ends(edge: Edge) -> Shown:
    return {
        "source": edge.source,
        "target": edge.target,
        "family": edge.family,
        "weight": str(edge.weight),
        "points": many(edge.weight, "point"),
        "kinds": kinds(edge),
    }


def _edge(edge: Edge, limit: int) -> Shown:
    groups = [
        {
            "name": kind(edge, name),
            "family": FAMILIES[name],
            "rows": [_bond(bond) for bond in bonds[:limit]],
            "more": _more(len(bonds), limit),
        }
        for name, bonds in edge.kinds.items()
    ]
    return {**_ends(edge), "groups": groups}


def _bond(bond: Bond) -> Shown:
    return {
        "subject": bond.subject,
        "detail": bond.detail,
        "evidence": bond.evidence,
        "slug": bond.evidence.split()[0] if bond.evidence else "",
        "at": at(bond.place),
        "function": _short(bond.place),
    }


def _grouped(edges: Iterable[Edge], limit: int) -> list[Shown]:
    """Return what is used of shared infrastructure, by the app used."""
    apps: dict[str, list[Shown]] = defaultdict(list)
    for edge in edges:
        apps[edge.target].append(_edge(edge, limit))
    return [
        {"app": app, "users": users, "count": many(len(users), "context")}
        for app, users in sorted(apps.items())
    ]


def _by_weight(edges: Iterable[Edge]) -> list[Edge]:
    return sorted(edges, key=lambda edge: (-edge.weight, edge.source, edge.target))


def _short(place: Place) -> str:
    """Return the function's name without its module's, which the file says."""
    module = place.file.removesuffix(".py").replace("/", ".")
    while module and not place.function.startswith(f"{module}."):
        module = module.partition(".")[2]
    return place.function.removeprefix(f"{module}.") if module else place.function


def _more(count: int, shown: int) -> str:
    return f"… and {count - shown:,} more in the JSON" if count > shown else ""


def _duration(seconds: float) -> str:
    if not seconds:
        return ""
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{seconds * 1000:.0f} ms"
        if seconds >= 0.001
        else "under 1 ms"
    )
