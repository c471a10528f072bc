"""What reaches the database: rows inserted, updated and deleted, with the tables that a model spans, cascades, overrides and receivers."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from microworkflows_xray.facts import Verb

from . import signals_sent
from .engine import Frame


def save(
    frame: Frame,
    node: ast.AST,
    cls: str,
    verbs: Iterable[Verb],
    how: str,
    *,
    columns: Iterable[str] | None = None,
    after: str = "",
) -> None:
    """Note that a model's row is saved here, or, if the code overrides ``save``, that this calls the override.

    Args:
        columns: Names of the fields that are written, if the code tells.
        after: Class behind which an override is looked for.
    """
    override = frame.engine.classes.method(cls, "save", after)
    if override:
        frame.call(node, override)
        return
    write(frame, node, cls, verbs, how=how, columns=columns)
    _keep_history(frame, node, cls)
    signals_sent.of_model(frame, node, cls, ("pre_save", "post_save"))


def write(
    frame: Frame,
    node: ast.AST,
    cls: str,
    verbs: Iterable[Verb],
    *,
    how: str,
    columns: Iterable[str] | None = None,
) -> None:
    """Note that a model's tables are written here, without overrides and receivers."""
    registry = frame.engine.registry
    by_table: dict[str, set[str]] = {}
    for name in columns or ():
        found = registry.column(cls, name)
        if found is not None:
            by_table.setdefault(found[0], set()).add(found[1])
    tables = tuple(by_table) if by_table else registry.tables(cls)
    for verb in verbs:
        for table in tables if verb == "update" else registry.tables(cls):
            named = tuple(sorted(by_table.get(table, ()))) or None
            frame.access(node, table, verb, how, named)


def delete(frame: Frame, node: ast.AST, cls: str, how: str, *, after: str = "", one: bool = True) -> None:
    """Note that a model's rows are deleted here, and what Django deletes or changes with them.

    Args:
        one: True for an instance, whose override of ``delete`` runs; a queryset runs none.
    """
    override = frame.engine.classes.method(cls, "delete", after) if one else None
    if override:
        frame.call(node, override)
        return
    for table in frame.engine.registry.tables(cls):
        frame.access(node, table, "delete", how)
    for each in frame.engine.registry.cascades(cls):
        frame.access(
            node, each.table, each.verb, "cascade" if each.certain else "possible cascade", each.columns
        )
    _keep_history(frame, node, cls)
    signals_sent.of_model(frame, node, cls, ("pre_delete", "post_delete"))


def _keep_history(frame: Frame, node: ast.AST, cls: str) -> None:
    table = frame.engine.registry.history(cls)
    if table:
        frame.access(node, table, "insert", "history")
