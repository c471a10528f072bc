"""The report as JSON: every bond with its place, for programs that ask further."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from microworkflows_xray.bonds import WEIGHTS, Bond
from microworkflows_xray.facts import Place, as_plain
from microworkflows_xray.graph import Edge
from microworkflows_xray.ranking import SHARED_WEIGHT, SPAN_WEIGHT, Candidate
from microworkflows_xray.report.content import Content

FORMAT = 1
"""Version of this JSON; it changes when a reader could misread it."""


def render(content: Content) -> str:
    """Return the report as JSON, sorted."""
    static, graph = content.static, content.graph
    plain = {
        "format": FORMAT,
        "kind": "report",
        "project": content.name,
        "settings": static.settings,
        "partial": bool(content.gaps),
        "gaps": [as_plain(gap) for gap in content.gaps],
        "recording": content.recording,
        "evidence": content.evidence,
        "weights": {**dict[str, int](WEIGHTS.items()), "transaction": SPAN_WEIGHT, "shared": SHARED_WEIGHT},
        "contexts": [as_plain(context) for context in graph.contexts],
        "edges": _edges(graph.edges),
        "shared": _edges(graph.shared),
        "outside": _edges(graph.outside),
        "cycles": [
            {
                "contexts": cycle.contexts,
                "mutual": cycle.mutual,
                "cut": [
                    {"source": edge.source, "target": edge.target, "weight": edge.weight}
                    for edge in cycle.cut
                ],
            }
            for cycle in graph.cycles
        ],
        "transactions": [as_plain(span) for span in content.spans],
        "functions": [as_plain(span) for span in content.predicted],
        "ranking": [_candidate(candidate) for candidate in content.ranking],
        "proposal": as_plain(content.proposal),
        "footprint": as_plain(content.footprint),
        "seams": as_plain(content.seams),
        "accesses": [as_plain(one) for one in graph.judged],
        "excluded": static.excluded,
        "seconds": round(static.seconds, 1),
    }
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def _edges(edges: Iterable[Edge]) -> list[dict[str, Any]]:
    return [
        {
            "source": edge.source,
            "target": edge.target,
            "weight": edge.weight,
            "sites": {kind: edge.count(kind) for kind in edge.kinds},
            "bonds": [_bond(bond) for bond in edge.bonds],
        }
        for edge in edges
    ]


def _bond(bond: Bond) -> dict[str, Any]:
    """Return a bond without its ends, which the edge names."""
    plain: dict[str, Any] = as_plain(bond)
    return {
        name: value
        for name, value in plain.items()
        if name not in {"source", "target", "shared"} and value != ""
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    parts = [
        {
            "name": part.name,
            "count": part.count,
            "weight": part.weight,
            "points": part.points,
            "places": [_place(bond.place) for bond in part.bonds],
            "transactions": [span.name for span in part.spans],
        }
        for part in candidate.parts
    ]
    return {
        "position": candidate.position,
        "context": candidate.context,
        "cost": candidate.cost,
        "then": candidate.then,
        "sentence": candidate.sentence,
        "parts": parts,
    }


def _place(place: Place) -> str:
    return f"{place.file}:{place.line}"
