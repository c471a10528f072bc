"""What the HTML shows, ready to be printed: text, lists and small dictionaries, in the order of the page."""

from __future__ import annotations

from microworkflows_xray.bonds import FAMILIES, NAMES, WEIGHTS
from microworkflows_xray.ranking import SHARED_WEIGHT, SPAN_WEIGHT
from microworkflows_xray.report import contextmap, pieces
from microworkflows_xray.report.content import Content
from microworkflows_xray.report.pieces import Shown
from microworkflows_xray.report.summary import sentences
from microworkflows_xray.report.words import at, kinds, many

ROWS = 4000
"""About so many places are listed on the page, shared evenly; the JSON has all."""
SPANS = 60
"""So many transactions are listed."""
OPEN = 3
"""So many transactions are unfolded at first."""
HEAVY = 40
"""So many dependencies are listed at once; the lighter ones are folded."""
FUNCTIONS = 40
"""So many predicted functions are listed."""


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
    bonds = [
        {**pieces.edge(edge, limit), "id": links[edge.source, edge.target]}
        for edge in pieces.by_weight(graph.edges)
    ]
    return {
        "name": content.name,
        "settings": content.static.settings,
        "partial": content.partial,
        "gaps": [
            {"what": gap.what.rstrip(". "), "why": gap.why, "at": at(gap.place)} for gap in content.gaps
        ],
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
        "heaviest": [pieces.link(edge, links) for edge in pieces.by_weight(graph.edges)[:10]],
        "links": links,
        "matrix": _matrix(content, links),
        "spans": [
            {**pieces.span(span), "open": index < OPEN} for index, span in enumerate(content.spans[:SPANS])
        ],
        "more_spans": pieces.more(len(content.spans), SPANS),
        "functions": [pieces.span(span) for span in content.predicted[:FUNCTIONS]],
        "more_functions": pieces.more(len(content.predicted), FUNCTIONS),
        "cycles": [pieces.cycle(cycle, links) for cycle in graph.cycles],
        "ranking": [pieces.candidate(one, most, limit) for one in content.ranking],
        "families": [{"slug": slug, "name": name} for slug, name in NAMES.items()],
        "groups": [pieces.group(group) for group in content.proposal.groups],
        "modularity": f"{content.proposal.modularity:.2f}",
        "divided": ", ".join(content.proposal.divided),
        "bonds": bonds[:HEAVY],
        "light_bonds": bonds[HEAVY:],
        "light_count": many(len(bonds) - HEAVY, "lighter dependency", "lighter dependencies"),
        "shared": pieces.grouped(graph.shared, limit),
        "outside": [pieces.edge(edge, limit) for edge in pieces.by_weight(graph.outside)],
        "footprint": pieces.footprint(content.footprint, ROWS // 10) if content.footprint else None,
        "seams": [pieces.seam(seam) for seam in content.seams or ()],
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
    writes, keys = (sum(edge.count(name) for edge in graph.edges) for name in ("write", "foreign key"))
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
