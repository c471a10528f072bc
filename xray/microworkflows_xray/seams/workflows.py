"""Workflows: the functions at which one starts, from the name that a person gives it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from microworkflows_xray.facts import Observed, Static


class UnknownWorkflowError(Exception):
    """No function, class, URL, task or recorded transaction has this name; the text names similar ones."""


def functions(static: Static) -> set[str]:
    """Return the dotted names of all functions that the facts name."""
    named = {access.place.function for access in static.accesses}
    named |= {name for call in static.calls for name in (call.caller, call.callee)}
    return (named | {signal.function for signal in static.signals}) - {""}


def entries(static: Static, workflow: str, observed: Observed | None = None) -> frozenset[str]:
    """Return the functions at which a workflow starts.

    Args:
        static: The facts that the code tells.
        workflow: Dotted name of a function or class, or the end of one; name of a URL; of a task; or of a recorded
            transaction, such as ``POST checkout:preview``. Empty for everything.
        observed: Recorded facts, if there are any.

    Raises:
        UnknownWorkflowError: nothing has that name.
    """
    known = functions(static)
    if not workflow:
        return frozenset(known)
    found = (
        _named(known, workflow)
        or {task.place.function for task in static.tasks if task.role == "task" and task.name == workflow}
        or _recorded(observed, workflow) & known
        or {name for view in _views(workflow.rpartition(" ")[2]) for name in _named(known, view)}
    )
    if not found:
        word = workflow.rpartition(".")[2].rpartition(":")[2].casefold()
        similar = sorted(name for name in known if word and word in name.casefold())[:5]
        hint = (
            f" Did you mean {', '.join(similar)}?"
            if similar
            else " `xray seams` without a name lists all seams."
        )
        raise UnknownWorkflowError(
            f"No function, class, URL, task or recorded transaction that does anything is named {workflow}.{hint}"
        )
    return frozenset(found)


def _named(known: set[str], name: str) -> set[str]:
    exact = {each for each in known if each == name or each.startswith(f"{name}.")}
    return exact or {each for each in known if f".{each}".endswith(f".{name}") or f".{name}." in f".{each}"}


def _recorded(observed: Observed | None, name: str) -> set[str]:
    """Return the functions that wrote or read in a recorded transaction, and in those inside it."""
    units = () if observed is None else observed.transactions
    own = [unit for unit in units if name in (unit.name, f"{unit.kind} {unit.name}")]
    around = {f"{unit.kind} {unit.name}" for unit in own}
    own += [unit for unit in units if unit.inside in around]
    return {access.place.function for unit in own for access in unit.accesses}


def _views(name: str) -> Iterator[str]:
    """Yield the dotted names of the views that a URL name leads to; none if the URLconf cannot be read."""
    try:
        from django.urls import get_resolver

        patterns = get_resolver().url_patterns
    except Exception:  # a project's URLconf may raise anything; the look at the project reports it as a gap
        return
    for full, view in _patterns(patterns, ""):
        if full == name:
            plain = getattr(view, "view_class", None) or getattr(view, "cls", None) or inspect.unwrap(view)
            yield f"{plain.__module__}.{plain.__qualname__}"


def _patterns(patterns: Any, namespace: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        if hasattr(pattern, "url_patterns"):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _patterns(pattern.url_patterns, inner)
        elif pattern.name:
            yield f"{namespace}{pattern.name}", pattern.callback
