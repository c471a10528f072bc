"""Telling a person, GitHub, or another program, what a comparison found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal, TextIO

from microworkflows_xray.guard.baseline import Baseline
from microworkflows_xray.guard.comparing import Comparison
from microworkflows_xray.guard.violations import Violation

Format = Literal["text", "json", "sarif", "github"]

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
_VERBS = {
    "write": "writes",
    "read": "reads",
    "join": "joins",
    "import": "imports",
    "loader": "loads",
    "call": "calls",
}


def tell(
    comparison: Comparison,
    before: Baseline,
    format_: Format,
    out: TextIO,
    *,
    update: bool = False,
    allow: str = "",
) -> None:
    """Write what was found in a format."""
    if format_ == "json":
        out.write(_dumped(_plain(comparison, before)))
    elif format_ == "sarif":
        out.write(_dumped(_sarif(comparison)))
    elif format_ == "github":
        out.writelines(f"{line}\n" for line in _github(comparison))
    else:
        out.writelines(f"{line}\n" for line in _text(comparison, before, update=update, allow=allow))


def sentence(violation: Violation) -> str:
    """Say a violation in words."""
    verb = _VERBS.get(violation.kind, f"depends by {violation.kind} on")
    who = violation.at.replace(":", ".")
    return f"{who} ({violation.source}) {verb} {violation.subject} ({violation.target})"


def _text(comparison: Comparison, before: Baseline, *, update: bool, allow: str) -> Iterator[str]:
    for reason in comparison.partial:
        yield f"partial  {reason}"
    for one in comparison.new:
        yield f"new      {sentence(one)}  {one.place.file}:{one.place.line}"
    for moved in comparison.moved:
        yield f"moved    {sentence(moved.now)}; it was {moved.before.at.replace(':', '.')}"
    for one in comparison.gone:
        yield f"gone     {sentence(one)}"
    left = len(before.violations) - len(comparison.gone)
    yield f"{len(comparison.new)} new, {len(comparison.gone)} gone, {left} left of {len(before.violations)}."
    if not comparison.holds and not allow:
        yield "Go through an event instead (`xray seams`), or keep it with a reason: xray guard --update --allow REASON"
    elif update:
        yield "The baseline is updated; commit it."
    elif comparison.gone or comparison.moved:
        yield "Run xray guard --update to lock the gain in, and commit the file."


def _plain(comparison: Comparison, before: Baseline) -> dict[str, object]:
    return {
        "format": 1,
        "kind": "guard",
        "holds": comparison.holds,
        "known": len(before.violations),
        "partial": list(comparison.partial),
        "new": [_record(one) for one in comparison.new],
        "moved": [{"before": _record(each.before), "now": _record(each.now)} for each in comparison.moved],
        "gone": [_record(one) for one in comparison.gone],
    }


def _record(one: Violation) -> dict[str, object]:
    plain: dict[str, object] = {"kind": one.kind, "at": one.at, "subject": one.subject}
    plain |= {"source": one.source, "target": one.target}
    return plain | ({"file": one.place.file, "line": one.place.line} if one.place.file else {})


def _github(comparison: Comparison) -> Iterator[str]:
    for reason in comparison.partial:
        yield f"::error title=xray guard::{_escaped(reason)}"
    for one in comparison.new:
        place = f"file={_escaped(one.place.file, inside=True)},line={max(1, one.place.line)}"
        yield f"::error {place},title=New {one.kind} across contexts::{_escaped(sentence(one))}"
    if comparison.gone:
        yield f"::notice title=xray guard::{len(comparison.gone)} violations are gone: xray guard --update locks that in."


def _escaped(text: str, *, inside: bool = False) -> str:
    """Escape a message, or a property of one, as GitHub's commands ask for."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if inside else text


def _sarif(comparison: Comparison) -> dict[str, object]:
    kinds = sorted({one.kind for one in comparison.new})
    rules = [
        {"id": _rule(kind), "shortDescription": {"text": f"New {kind} across contexts"}} for kind in kinds
    ]
    rules += [{"id": "guard-partial", "shortDescription": {"text": "Less was looked at than before"}}]
    results: list[dict[str, object]] = [
        {"ruleId": "guard-partial", "level": "error", "message": {"text": reason}}
        for reason in comparison.partial
    ]
    for one in comparison.new:
        where = {"uri": one.place.file, "uriBaseId": "%SRCROOT%"}
        region = {"startLine": max(1, one.place.line)}
        results.append(
            {
                "ruleId": _rule(one.kind),
                "level": "error",
                "message": {"text": sentence(one)},
                "locations": [{"physicalLocation": {"artifactLocation": where, "region": region}}],
                "partialFingerprints": {"violation/v1": str(one)},
            }
        )
    driver = {"name": "xray guard", "rules": rules}
    return {"$schema": SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(kind: str) -> str:
    return f"guard-{kind.replace(' ', '-')}"


def _dumped(plain: dict[str, object]) -> str:
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
