"""Pieces of the HTML page: records of the report as text, lists and small dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from microworkflows_xray.bonds import FAMILIES, NAMES, Bond
from microworkflows_xray.facts import Place
from microworkflows_xray.footprint import Footprint
from microworkflows_xray.graph import Cycle, Edge
from microworkflows_xray.proposal import Group
from microworkflows_xray.ranking import Candidate, Part
from microworkflows_xray.report.words import at, kind, kinds, many
from microworkflows_xray.transactions import Span, Written

Shown = dict[str, Any]


def span(seen: Span) -> Shown:
    """Return a transaction, or a predicted function."""
    return {
        "kind": seen.kind,
        "name": seen.name,
        "contexts": seen.contexts,
        "written": [_written(one) for one in seen.written],
        "seen": many(seen.count, "time"),
        "inside": seen.inside,
        "network": seen.network,
        "on_commit": seen.on_commit,
        "lasts": _duration(seen.seconds),
        "waits": _duration(seen.lock_wait_seconds),
        "at": at(seen.place),
    }


def _written(one: Written) -> Shown:
    columns = ", ".join(one.columns) or "whole rows"
    return {"context": one.context, "table": one.table, "verbs": ", ".join(one.verbs), "columns": columns}


def cycle(ring: Cycle, links: dict[tuple[str, str], str]) -> Shown:
    """Return a cycle; ``links`` has the anchor of each dependency."""
    return {
        "contexts": ring.contexts,
        "count": many(len(ring.contexts), "context"),
        "mutual": [f"{one} ⇄ {two}" for one, two in ring.mutual[:40]],
        "more_mutual": more(len(ring.mutual), 40),
        "cut": [link(edge, links) for edge in ring.cut],
        "points": many(sum(edge.weight for edge in ring.cut), "point"),
    }


def candidate(one: Candidate, most: int, limit: int) -> Shown:
    """Return a context of the ranking; ``most`` is the greatest cost, which its bar is drawn against."""
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
        "more": more(len(places), limit),
    }


def seam(found: Any) -> Shown:
    """Return a seam (:mod:`microworkflows_xray.seams`)."""
    return {
        "event": found.event,
        "outcome": found.outcome,
        "how": found.how,
        "emitter": found.emitter,
        "emitter_context": found.emitter_context,
        "consumer": found.consumer,
        "consumer_context": found.consumer_context,
        "at": at(found.place),
        "payload": [f"{field.name}: {field.type or 'a type to decide'}" for field in found.payload],
        "query": found.is_query,
        "can_fail": found.can_fail,
        "id": found.id,
    }


def footprint(found: Footprint, limit: int) -> Shown:
    """Return the footprint of a step, with at most ``limit`` others."""
    others = sorted(found.others, key=lambda other: (not other.writes, not other.synchronous))
    return {
        "step": found.step,
        "writes": [
            {
                "table": one.table,
                "verbs": ", ".join(one.verbs),
                "columns": ", ".join(one.columns or ()) or "whole rows",
                "places": list(dict.fromkeys(at(access.place) for access in one.at)),
            }
            for one in found.writes
        ],
        "others": [
            {
                "context": other.context or "code in no context",
                "table": other.access.table,
                "verb": other.access.verb,
                "evidence": other.certainty,
                "slug": other.certainty.split()[0],
                "synchronous": other.synchronous,
                "inside": other.inside,
                "later": other.later,
                "at": at(other.access.place),
                "function": _short(other.access.place),
            }
            for other in others[:limit]
        ],
        "more": more(len(others), limit),
        "partial": bool(found.gaps),
    }


def group(proposed: Group) -> Shown:
    """Return a proposed context."""
    return {"name": proposed.name, "members": proposed.members, "models": many(len(proposed.models), "model")}


def link(tie: Edge, links: dict[tuple[str, str], str]) -> Shown:
    """Return a dependency with the link to its places."""
    return {**_ends(tie), "href": f"#{links[tie.source, tie.target]}"}


def _ends(tie: Edge) -> Shown:
    return {
        "source": tie.source,
        "target": tie.target,
        "family": tie.family,
        "weight": str(tie.weight),
        "points": many(tie.weight, "point"),
        "kinds": kinds(tie),
    }


def edge(tie: Edge, limit: int) -> Shown:
    """Return a dependency with its places, at most ``limit`` of each kind."""
    groups = [
        {
            "name": kind(tie, name),
            "family": FAMILIES[name],
            "rows": [_bond(bond) for bond in bonds[:limit]],
            "more": more(len(bonds), limit),
        }
        for name, bonds in tie.kinds.items()
    ]
    return {**_ends(tie), "groups": groups}


def _bond(bond: Bond) -> Shown:
    return {
        "subject": bond.subject,
        "detail": bond.detail,
        "evidence": bond.evidence,
        "slug": bond.evidence.split()[0] if bond.evidence else "",
        "at": at(bond.place),
        "function": _short(bond.place),
    }


def grouped(edges: Iterable[Edge], limit: int) -> list[Shown]:
    """Return what is used of shared infrastructure, by the app used."""
    apps: dict[str, list[Shown]] = defaultdict(list)
    for tie in edges:
        apps[tie.target].append(edge(tie, limit))
    return [
        {"app": app, "users": users, "count": many(len(users), "context")}
        for app, users in sorted(apps.items())
    ]


def by_weight(edges: Iterable[Edge]) -> list[Edge]:
    """Return dependencies, heaviest first."""
    return sorted(edges, key=lambda edge: (-edge.weight, edge.source, edge.target))


def _short(place: Place) -> str:
    """Return the function's name without its module's, which the file says."""
    module = place.file.removesuffix(".py").replace("/", ".")
    while module and not place.function.startswith(f"{module}."):
        module = module.partition(".")[2]
    return place.function.removeprefix(f"{module}.") if module else place.function


def more(count: int, shown: int) -> str:
    """Return how many there are beyond what is shown; empty if none."""
    return f"… and {count - shown:,} more in the JSON" if count > shown else ""


def _duration(seconds: float) -> str:
    if not seconds:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"
