"""Telling a person, or a program, about seams."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from microworkflows_xray.facts import Observed, Static
from microworkflows_xray.seams.finding import find
from microworkflows_xray.seams.records import Field, Seam
from microworkflows_xray.seams.workflows import UnknownWorkflowError

if TYPE_CHECKING:
    from microworkflows_xray.contexts import Contexts


def run(
    static: Static,
    contexts: Contexts,
    *,
    workflow: str = "",
    observed: Observed | None = None,
    root: Path | None = None,
    format: Literal["text", "json"] = "text",  # noqa: A002  (named as the command's option)
    out: TextIO | None = None,
) -> int:
    """List the seams of a workflow; return 0, or 2 if there is no such workflow."""
    out = out or sys.stdout
    try:
        found = find(static, contexts, workflow=workflow, observed=observed, root=root)
    except UnknownWorkflowError as error:
        out.write(f"{error}\n")
        return 2
    if format == "json":
        seams = [{**dataclasses.asdict(seam), "is_query": seam.is_query} for seam in found]
        plain = {
            "workflow": workflow,
            "seams": seams,
            "gaps": [dataclasses.asdict(gap) for gap in static.gaps],
        }
        out.write(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    else:
        out.writelines(f"{line}\n" for line in _lines(found, workflow, len(static.gaps)))
    return 0


def _lines(seams: tuple[Seam, ...], workflow: str, gaps: int) -> Iterator[str]:
    where = f" in {workflow}" if workflow else ""
    queries = sum(seam.is_query for seam in seams)
    yield f"{len(seams)} seams{where}, {queries} of them queries, for which no event can take over."
    if gaps:
        yield f"Partial: {gaps} things could not be looked at, so there may be more. `xray look` names them."
    for seam in (each for each in seams if not each.is_query):
        yield ""
        yield f"{seam.id}"
        yield f"  {seam.event}: {seam.emitter_context} -> {seam.consumer_context} ({seam.how})"
        yield f"  emitter   {seam.emitter}  {seam.place.file}:{seam.place.line}"
        yield f"  consumer  {seam.consumer}"
        if seam.replaces != seam.consumer:
            yield f"  override  {seam.replaces}"
        yield f"  payload   {', '.join(map(_field, seam.payload)) or 'nothing that the code tells'}"
        if seam.reads:
            yield f"  reads     {', '.join(seam.reads)}"
        for written in seam.writes:
            used = f"  (also used by {', '.join(written.also)})" if written.also else ""
            yield f"  writes    {written.table}{used}"
        yield f"  result    {_result(seam)}"
        yield f"  errors    {_errors(seam)}"
    if queries:
        yield ""
        yield "Queries: keep a copy that events bring up to date, or leave the call."
    for seam in (each for each in seams if each.is_query):
        pair = f"{seam.emitter_context} -> {seam.consumer_context}"
        yield f"  {pair}: {seam.emitter} asks {seam.consumer}  {seam.place.file}:{seam.place.line}"


def _field(field: Field) -> str:
    maybe = f" or {' or '.join(field.choices)}" if field.choices else ""
    row = f" of {field.model}{maybe}" if field.model else ""
    return f"{field.name}: {field.type or '?'}{row}"


def _result(seam: Seam) -> str:
    return (
        "not used: an event can take over"
        if seam.result == "unused"
        else "unknown: look whether the caller uses it"
    )


def _errors(seam: Seam) -> str:
    raised = f" (raises {', '.join(seam.raises)})" if seam.raises else ""
    return f"end the workflow{raised}" if seam.can_fail else f"do not reach the workflow{raised}"
