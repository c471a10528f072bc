"""Footprints as text for people, and as the JSON file that a running system reads to warn in time."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, TextIO

from microworkflows_xray.contexts import Contexts
from microworkflows_xray.facts import Access, Observed, Static
from microworkflows_xray.footprint import finding

FORMAT = 1
"""Version of the JSON file."""


def run(
    static: Static,
    contexts: Contexts,
    *,
    functions: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    observed: Observed | None = None,
    root: Path,
    format: Literal["text", "json"] = "text",  # noqa: A002  (named as the command's option)
    out: TextIO,
) -> int:
    """Write the footprints of functions, or one of columns together; gives the exit status.

    Raises:
        ProjectError: a function or column is not known; nothing is written then.
    """
    found = [finding.of_function(function, static, contexts, observed) for function in functions]
    if columns:
        found.append(finding.of_columns(columns, static, contexts, observed))
    if format == "json":
        text = json.dumps(as_json(found, root, observed), indent=1, ensure_ascii=False)
    else:
        text = "\n\n".join(as_text(each) for each in found)
    out.write(text + "\n")
    return 0


def as_text(found: finding.Footprint) -> str:
    """Write a footprint for people."""
    lines = [
        f"Footprint of {found.step}",
        "",
        "It writes:" if found.writes else "It writes no table that is known.",
    ]
    for written in found.writes:
        lines.append(
            f"  {written.table}: {', '.join(written.columns) if written.columns else 'whole rows'} ({', '.join(written.verbs)})"
        )
        lines += [f"    {_where(access)}" for access in _once(written.at)]
    for title, others in (("Other writers", found.writers), ("Other readers", found.readers)):
        sites = len({(other.access.place.file, other.access.place.function) for other in others})
        lines += [
            "",
            f"{title}: {sites} function{'s' if sites != 1 else ''}" if others else f"{title}: none is known.",
        ]
        for context, group in groupby(others, key=lambda other: other.context):
            lines.append(f"  {context or '(shared or no context)'}")
            lines += _lines(group)
    if found.gaps:
        lines += [
            "",
            f"Partial: {len(found.gaps)} part{'s' if len(found.gaps) != 1 else ''} of the project could not be looked at.",
        ]
    return "\n".join(lines)


def as_json(
    found: Iterable[finding.Footprint], root: Path, observed: Observed | None = None
) -> dict[str, Any]:
    """Give footprints as plain data, with the digest of each file that they name, so that a reader sees when they are out of date."""
    footprints = list(found)
    files = sorted({access.place.file for each in footprints for access in _accesses(each)})
    gaps = sorted({gap for each in footprints for gap in each.gaps}, key=repr)
    now = dt.datetime.now(tz=dt.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "format": FORMAT,
        "kind": "footprint",
        "recorded_at": (observed.recorded_at if observed else "") or now,
        "root": str(root),
        "files": {file: digest for file in files if (digest := _digest(root, file))},
        "gaps": [{"what": gap.what, "why": gap.why} for gap in gaps],
        "footprints": [
            {"function": each.step, "tables": [_table(each, written) for written in each.writes]}
            for each in footprints
        ],
    }


def _table(found: finding.Footprint, written: finding.Written) -> dict[str, Any]:
    others = [other for other in found.others if other.access.table == written.table]
    return {
        "table": written.table,
        "model": written.model,
        "columns": None if written.columns is None else list(written.columns),
        "written_at": [_plain(access) for access in _once(written.at)],
        "others": [
            {
                **_plain(other.access),
                "app": other.access.place.app,
                "context": other.context,
                "columns": None if other.access.columns is None else list(other.access.columns),
                "evidence": other.evidence,
                "certainty": other.certainty,
                "synchronous": other.synchronous,
                "inside": other.inside,
                "later": other.later,
            }
            for other in others
        ],
    }


def _plain(access: Access) -> dict[str, Any]:
    return {
        "file": access.place.file,
        "line": access.place.line,
        "function": access.place.function,
        "verb": access.verb,
    }


def _lines(others: Iterable[finding.Other]) -> list[str]:
    """Write one line for each function and verb."""
    by_site: dict[tuple[str, ...], list[finding.Other]] = {}
    for other in others:
        access = other.access
        by_site.setdefault(
            (access.place.file, access.place.function, access.verb, access.table, other.later), []
        ).append(other)
    return [_line(group) for group in by_site.values()]


def _line(group: list[finding.Other]) -> str:
    access = group[0].access
    certainty = min(
        (other.certainty for other in group), key=("observed", "predicted only", "never executed").index
    )
    inside = next((other.inside for other in group if other.inside), "")
    after = "after the step in the same flow" if any(other.synchronous for other in group) else ""
    notes = ", ".join(filter(None, [certainty, after, inside and f"seen in {inside}"]))
    numbers = ", ".join(str(line) for line in sorted({other.access.place.line for other in group}))
    named = (
        None
        if any(other.access.columns is None for other in group)
        else sorted({c for o in group for c in o.access.columns or ()})
    )
    name = access.place.function.rpartition(".")[2]
    return f"    {access.place.file}:{numbers} {name} {access.verb}s {', '.join(named) if named else access.table} [{notes}]: {group[0].later}."


def _where(access: Access) -> str:
    return f"{access.place.file}:{access.place.line} {access.place.function.rpartition('.')[2]}"


def _once(accesses: Iterable[Access]) -> list[Access]:
    return list({(access.place, access.verb): access for access in accesses}.values())


def _accesses(found: finding.Footprint) -> list[Access]:
    return [
        *(access for written in found.writes for access in written.at),
        *(other.access for other in found.others),
    ]


def _digest(root: Path, file: str) -> str:
    for base in (root, *(Path(entry) for entry in sys.path if entry)):
        path = base / file
        if path.is_file():
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""
