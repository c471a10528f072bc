"""Reads: querysets where they are made or iterated, relations that are followed, and lookups with the tables they join."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable

from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Rows, Value


def read(frame: Frame, node: ast.AST, rows: Rows, how: str = "query", *, whole: bool = True) -> None:
    """Note that a query runs, or is made, here.

    Args:
        whole: False if only the columns that it names are of interest, as for ``exists()``.
    """
    registry = frame.engine.registry
    if registry.get(rows.model) is None:
        return
    table = registry.table(rows.model)
    columns = rows.columns if rows.plain or not whole else ()
    joined = [*rows.joins, *([(rows.through, "")] if rows.through else [])]
    names = tuple(sorted({join for join, _ in joined}))
    frame.access(node, table, "read", how, tuple(sorted(set(columns))) or None, joins=names)
    for name in names:
        if name != table:
            read_of_it = [column for join, column in joined if join == name]
            named = tuple(sorted(set(read_of_it))) if all(read_of_it) else None
            frame.access(node, name, "read", how, named, joins=(*names, table))


def follow(frame: Frame, owner: Instance, name: str, related: Value, node: ast.AST) -> None:
    """Note that a relation is followed: Django reads the other row unless it has it already."""
    column = frame.engine.registry.column(owner.cls, name)
    if column is not None:
        frame.access(node, column[0], "read", "attribute", (column[1],))
    for each in related:
        if isinstance(each, Instance) and isinstance(getattr(node, "ctx", None), ast.Load):
            frame.access(node, frame.engine.registry.table(each.cls), "read", "attribute")


def lookups(rows: Rows, names: Iterable[str], frame: Frame, *, whole: bool = False) -> Rows:
    """Add to a query the tables that lookups join, and the columns that they name.

    Args:
        whole: True if the lookups fetch whole rows of what they join, as those of ``select_related`` do.
    """
    registry = frame.engine.registry
    joins, columns = list(rows.joins), list(rows.columns)
    for name in names:
        joined, own = registry.follow(rows.model, name.lstrip("-+"))
        if joined and not joined[-1][1] and not whole:
            if own is not None and len(joined) == 1:
                joined = []  # a foreign key compared with a value joins nothing
            else:
                joined[-1] = (joined[-1][0], registry.key(joined[-1][0]))
        joins += [(table, column if column or whole else registry.key(table)) for table, column in joined]
        if own is not None and own[0] == registry.table(rows.model):
            columns.append(own[1])
    return dataclasses.replace(rows, joins=tuple(dict.fromkeys(joins)), columns=tuple(dict.fromkeys(columns)))


def lookup_names(nodes: Iterable[ast.expr], keywords: Iterable[str]) -> list[str]:
    """Name all lookups in a call's arguments: keywords, those of ``Q(…)``, and what ``F("…")`` and aggregates name."""
    found = list(keywords)
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Call):
                found += [keyword.arg for keyword in each.keywords if keyword.arg]
                found += [
                    arg.value
                    for arg in each.args
                    if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                ]
            elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each is node:
                found.append(each.value)
    return [name for name in found if name.lstrip("-+").replace("_", "a").isalnum()]


def construct(frame: Frame, cls: str, passed: object) -> Value:
    """Tell what calling a queryset's class gives: rows of the model passed first."""
    if not frame.engine.classes.is_a(cls, "django.db.models.query.QuerySet", "QuerySet"):
        return UNKNOWN
    first = passed.get(0, "model")  # type: ignore[attr-defined]  # Arguments
    return frozenset(
        Rows(each.cls, cls)
        for each in first
        if isinstance(each, (ClassOf, Instance)) and frame.engine.registry.get(each.cls)
    )
