"""Reads: querysets where they are made or iterated, relations that are followed, and lookups with the tables they join."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable

from . import effects as effects  # noqa: PLC0414 - rules find both kinds of effects here
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
    joins = tuple(dict.fromkeys((*rows.joins, *((rows.through,) if rows.through else ()))))
    frame.access(node, table, "read", how, tuple(sorted(set(columns))) or None, joins)
    for join in joins:
        if join != table:
            frame.access(node, join, "read", how, None, (table,))


def follow(frame: Frame, owner: Instance, name: str, related: Value, node: ast.AST) -> None:
    """Note that a relation is followed: Django reads the other row unless it has it already."""
    column = frame.engine.registry.column(owner.cls, name)
    if column is not None:
        frame.access(node, column[0], "read", "attribute", (column[1],))
    for each in related:
        if isinstance(each, Instance) and isinstance(getattr(node, "ctx", None), ast.Load):
            frame.access(node, frame.engine.registry.table(each.cls), "read", "attribute")


def lookups(rows: Rows, names: Iterable[str], frame: Frame, *, named: bool = True) -> Rows:
    """Add to a query the tables that lookups join, and the columns that they name."""
    joins, columns = list(rows.joins), list(rows.columns)
    for name in names:
        joined, column, _ = frame.engine.registry.follow(rows.model, name.lstrip("-+"))
        joins += joined
        if column is not None and named and column[0] == frame.engine.registry.table(rows.model):
            columns.append(column[1])
    return dataclasses.replace(rows, joins=tuple(dict.fromkeys(joins)), columns=tuple(dict.fromkeys(columns)))


def lookup_names(nodes: Iterable[ast.expr], keywords: Iterable[str]) -> list[str]:
    """Name all lookups in a call's arguments: keywords, those of ``Q(…)``, and what ``F("…")`` and aggregates name."""
    found = list(keywords)
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Call):
                found += [keyword.arg for keyword in each.keywords if keyword.arg]
                found += [arg.value for arg in each.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            elif isinstance(each, ast.Constant) and isinstance(each.value, str) and each is node:
                found.append(each.value)
    return [name for name in found if name.lstrip("-+").replace("_", "a").isalnum()]


def construct(frame: Frame, cls: str, passed: object) -> Value:
    """Tell what calling a queryset's class gives: rows of the model passed first."""
    if not frame.engine.classes.is_a(cls, "django.db.models.query.QuerySet", "QuerySet"):
        return UNKNOWN
    first = passed.get(0, "model")  # type: ignore[attr-defined]  # Arguments
    return frozenset(Rows(each.cls, cls) for each in first if isinstance(each, (ClassOf, Instance)) and frame.engine.registry.get(each.cls))
