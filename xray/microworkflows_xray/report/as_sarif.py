"""The report as SARIF 2.1.0 (OASIS Standard, 27 March 2020), for code scanning and editors: one result for each place.

Only what someone can act on at a place becomes a result: data bonds, cycles and transactions. Gaps become notifications.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import microworkflows_xray
from microworkflows_xray.bonds import Bond, Kind
from microworkflows_xray.facts import Place
from microworkflows_xray.report import words as texts
from microworkflows_xray.report.content import Content

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RULES: dict[str, tuple[str, str, str]] = {
    "XR001": ("ForeignWrite", "warning", "Code of one context writes a table of another."),
    "XR002": ("ForeignKeyBetweenContexts", "note", "A column of one context refers to a table of another."),
    "XR003": ("JoinBetweenContexts", "note", "A query joins tables of several contexts."),
    "XR004": ("ForeignRead", "note", "Code of one context reads a table of another."),
    "XR005": ("GenericRelation", "note", "A row refers to any model, with no constraint in the database."),
    "XR006": (
        "WritesSeveralContexts",
        "warning",
        "A function, with all that it calls, writes tables of several contexts.",
    ),
    "XR007": (
        "NetworkInTransaction",
        "warning",
        "A host is called while a transaction that spans contexts is open.",
    ),
    "XR008": ("ContextCycle", "warning", "Contexts depend on each other in a circle."),
}
"""Name, level and description of each rule."""
RULE_OF: dict[Kind, str] = {
    "write": "XR001",
    "foreign key": "XR002",
    "join": "XR003",
    "read": "XR004",
    "generic relation": "XR005",
}


def render(content: Content) -> str:
    """Return the report as SARIF."""
    installed = {app.label for app in content.static.apps if app.origin == "installed"}
    driver = {
        "name": "microworkflows-xray",
        "semanticVersion": microworkflows_xray.__version__,
        "rules": [_rule(number) for number in RULES],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            "PROJECT": {"description": {"text": "Root of the project."}},
            "SITEPACKAGES": {"description": {"text": "Where packages are installed."}},
        },
        "invocations": [
            {"executionSuccessful": True, "toolExecutionNotifications": [*_notifications(content, installed)]}
        ],
        "results": [*_results(content, installed)],
    }
    return (
        json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False)
        + "\n"
    )


def _rule(number: str) -> dict[str, Any]:
    name, level, text = RULES[number]
    return {
        "id": number,
        "name": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level},
    }


def _notifications(content: Content, installed: set[str]) -> Iterator[dict[str, Any]]:
    for gap in content.gaps:
        notification: dict[str, Any] = {
            "level": "warning",
            "message": {"text": f"Not looked at: {texts.gap(gap)}"},
        }
        if gap.place and gap.place.file:
            notification["locations"] = [_location(gap.place, installed)]
        yield notification


def _results(content: Content, installed: set[str]) -> Iterator[dict[str, Any]]:
    graph = content.graph
    for edge in (*graph.edges, *graph.outside):
        for kind, bonds in edge.kinds.items():
            if kind in RULE_OF:
                yield from (
                    _result(RULE_OF[kind], _sentence(bond), bond.place, installed, bond.site)
                    for bond in bonds
                )
    places = {span.name: span.place for span in content.predicted}
    for span in content.predicted:
        text = f"{span.name} writes tables of {', '.join(span.contexts)} with what it calls."
        yield _result("XR006", text, span.place, installed, (span.name,))
    for span in content.spans:
        if span.network:
            text = f"{span.kind} {span.name} calls {', '.join(span.network)} while it holds rows of {', '.join(span.contexts)}."
            yield _result("XR007", text, places.get(span.name), installed, (span.kind, span.name))
    for cycle in graph.cycles:
        lightest = cycle.cut[0]
        text = f"{', '.join(cycle.contexts)} depend on each other. The lightest dependency back is this one, of {lightest.source} on {lightest.target}."
        yield _result("XR008", text, lightest.bonds[0].place, installed, cycle.contexts)


def _sentence(bond: Bond) -> str:
    words = {
        "write": "writes",
        "foreign key": "refers from",
        "join": "joins",
        "read": "reads",
        "generic relation": "refers from",
    }[bond.kind]
    source = bond.source or "Code in no context"
    to = f" of {bond.target}" if bond.kind in {"write", "read", "join"} else f" to {bond.target}"
    rest = ", ".join(filter(None, (bond.detail, bond.evidence)))
    return f"{source} {words} {bond.subject}{to}" + (f" ({rest})." if rest else ".")


def _result(
    rule: str, text: str, place: Place | None, installed: set[str], identity: tuple[str, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": RULES[rule][1],
        "message": {"text": text},
        "partialFingerprints": {
            "site/v1": hashlib.sha256("\0".join((rule, *identity)).encode()).hexdigest()[:32]
        },
    }
    if place and place.file:
        result["locations"] = [_location(place, installed)]
    return result


def _location(place: Place, installed: set[str]) -> dict[str, Any]:
    base = "SITEPACKAGES" if place.app in installed else "PROJECT"
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(place.file), "uriBaseId": base},
            "region": {"startLine": max(place.line, 1)},
        }
    }
    if place.function:
        location["logicalLocations"] = [{"fullyQualifiedName": place.function}]
    return location
