"""What services declare becomes the contexts' rows; a microworkflow that joins later is remembered with the time since when."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from microworkflows.cloudevents import context_of
from microworkflows.journal import reading
from microworkflows.journal.models import Context


def declare(facts: Mapping[str, Any], *, service: str, at: datetime, known: dict[str, Context]) -> set[str]:
    """Take in what a process declares; return the contexts whose rows are new or changed, in ``known``."""
    changed = set()
    for name in map(reading.text, facts["contexts"]):
        row = known.get(name)
        part = _part(facts, name)
        _date_listeners(part, row.declarations if row else None, at)
        admin_url = reading.text(facts.get("admin_url", ""))
        if row and (row.declarations, row.service, row.admin_url) == (part, service, admin_url):
            continue
        known[name] = Context(
            name=name,
            service=service,
            declared_at=at,
            declarations=part,
            admin_url=admin_url,
            tally=row.tally if row else {},
            tallied_at=row.tallied_at if row else None,
        )
        changed.add(name)
    return changed


def _part(facts: Mapping[str, Any], context: str) -> dict[str, Any]:
    """Return one context's part of the declarations. A deadline is declared by a context that hears the awaited event."""
    workflows = [
        {
            "label": reading.text(each["label"]),
            "on": reading.text(each["on"]),
            "emits": [reading.text(type) for type in each["emits"]],
        }
        for each in facts["workflows"]
        if context_of(each["label"]) == context
    ]
    hearers = {context_of(each["label"]): each["on"] for each in facts["workflows"]}
    heard = {each["on"] for each in workflows}
    return {
        "workflows": workflows,
        "announces": [
            reading.text(type) for type in facts.get("announces", ()) if context_of(type) == context
        ],
        "outcomes": {
            reading.text(type): reading.text(outcome, 63)
            for type, outcome in facts.get("outcomes", {}).items()
            if context_of(type) == context
        },
        "deadlines": [
            {
                "awaited": reading.text(each["awaited"]),
                "of": reading.text(each["of"]),
                "within": float(each["within"]),
            }
            for each in facts.get("deadlines", ())
            if each["awaited"] in heard or each["awaited"] not in hearers.values()
        ],
    }


def _date_listeners(part: dict[str, Any], before: Mapping[str, Any] | None, at: datetime) -> None:
    """Note since when each microworkflow listens: always, if it did so when its context became known."""
    since = {(each["label"], each["on"]): each.get("since") for each in (before or {}).get("workflows", ())}
    for each in part["workflows"]:
        key = each["label"], each["on"]
        each["since"] = since[key] if key in since else None if before is None else at.timestamp()
