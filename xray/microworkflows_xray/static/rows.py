"""Methods of managers and querysets: what they give, read and write."""

from __future__ import annotations

import ast
import dataclasses
from typing import TYPE_CHECKING

from microworkflows_xray.facts import Verb

from . import effects, queries, signals_sent
from .engine import Frame
from .spelling import last
from .values import UNKNOWN, Instance, Items, Many, Method, Rows, Value

if TYPE_CHECKING:
    from .calling import Arguments

_LAZY = frozenset(
    {
        "all", "filter", "exclude", "order_by", "annotate", "alias", "select_related", "prefetch_related", "distinct", "defer", "only",
        "select_for_update", "using", "reverse", "union", "intersection", "difference", "extra", "complex_filter", "get_queryset", "get_query_set",
        "values", "values_list", "dates", "datetimes", "none", "raw", "_clone", "_chain", "db_manager", "iterator", "aiterator", "as_manager",
    }
)  # fmt: skip
_PLAIN = frozenset({"values", "values_list", "dates", "datetimes"})
_QUIET = frozenset({"none", "get_queryset", "get_query_set", "_clone", "_chain", "using", "db_manager"})
_ONE = frozenset({"get", "first", "last", "earliest", "latest"})
_SUMS = frozenset({"exists", "count", "aggregate", "contains", "explain"})
_WRITES: dict[str, tuple[Verb, ...]] = {
    "create": ("insert",),
    "get_or_create": ("insert",),
    "update_or_create": ("insert", "update"),
    "bulk_create": ("insert",),
    "bulk_update": ("update",),
    "update": ("update",),
    "delete": ("delete",),
    "_raw_delete": ("delete",),
    "in_bulk": (),
}
_LINKS = frozenset({"add", "remove", "clear", "set"})
METHODS = _LAZY | _ONE | _SUMS | frozenset(_WRITES) | _LINKS
"""Methods of Django's own; a call of one directly on another's result runs one query, not two."""

_GUESSES: tuple[tuple[tuple[str, ...], tuple[Verb, ...]], ...] = (
    (("create", "add_", "insert", "get_or_create", "copy", "bulk_create", "import"), ("insert",)),
    (("update_or_create", "upsert"), ("insert", "update")),
    (("update", "set_", "move", "mark", "increment", "decrement", "reorder", "bulk_update"), ("update",)),
    (("delete", "remove", "purge", "clear", "prune"), ("delete",)),
)


def call(frame: Frame, method: Method, passed: Arguments, node: ast.Call) -> Value | None:
    """Tell what a queryset's method gives; None for what is no queryset's."""
    rows = method.owner
    if not isinstance(rows, Rows):
        return None
    name = method.name
    if name.startswith("a") and name[1:] in METHODS and name not in METHODS:
        name = name[1:]
    if rows.related and name in _LINKS:
        _link(frame, rows, name, node)
        return UNKNOWN
    if name in _LAZY:
        return _lazy(frame, rows, name, passed, node)
    if name in _ONE or name in _SUMS:
        narrowed = queries.lookups(rows, _named(passed, strings=name in {"earliest", "latest"}), frame)
        queries.read(frame, node, narrowed, whole=name in _ONE)
        return frozenset({Instance(rows.model)}) if name in _ONE and not rows.plain else UNKNOWN
    if name in _WRITES:
        return _write(frame, rows, name, passed, node)
    return _other(frame, rows, name, node)


def _lazy(frame: Frame, rows: Rows, name: str, passed: Arguments, node: ast.Call) -> Value:
    strings = name not in {"using", "raw", "extra", "db_manager", "dates", "datetimes"}
    narrowed = queries.lookups(
        rows, _named(passed, strings=strings), frame, whole=name in {"select_related", "prefetch_related"}
    )
    if name in _PLAIN and not (passed.positional or passed.named):
        narrowed = dataclasses.replace(narrowed, columns=())
    narrowed = dataclasses.replace(
        narrowed,
        plain=rows.plain or name in _PLAIN,
        related=False,
        through="",
        joins=tuple(dict.fromkeys((*narrowed.joins, *(((rows.through, ""),) if rows.through else ())))),
    )
    if name not in _QUIET and id(node) not in frame.chained:
        queries.read(frame, node, narrowed)
    found: set[Rows] = {narrowed}
    if rows.cls:
        maker = frame.engine.classes.method(rows.cls, "get_queryset")
        if maker is not None:
            if name != "get_queryset":
                frame.call(node, maker)
            found |= {
                dataclasses.replace(narrowed, cls=each.cls)
                for each in frame.get("result", maker)
                if isinstance(each, Rows) and each.cls and each.model == rows.model
            }
    return frozenset(found)


def _write(frame: Frame, rows: Rows, name: str, passed: Arguments, node: ast.Call) -> Value:
    made: Value = frozenset({Instance(rows.model, new=name == "create")})
    if name in {"get_or_create", "update_or_create"}:
        queries.read(
            frame,
            node,
            queries.lookups(
                rows, [key for key in passed.named if key not in {"defaults", "create_defaults"}], frame
            ),
        )
    if name == "in_bulk":
        queries.read(frame, node, rows)
        return frozenset({Many(made)})
    if name in {"delete", "_raw_delete"}:
        effects.delete(frame, node, rows.model, "query", one=False)
        return UNKNOWN
    if name in {"create", "update"} and not frame.engine.registry.has(rows.model, passed.named):
        return UNKNOWN  # the rows are of another model: this one has no such fields
    how = "related manager" if rows.related else "query"
    if name in {"update", "bulk_update", "bulk_create"}:
        effects.write(frame, node, rows.model, _WRITES[name], how=how, columns=_updated(name, passed))
    else:
        effects.save(frame, node, rows.model, _WRITES[name], how)
        if rows.through:
            frame.access(node, rows.through, "insert", "related manager")
    if name == "bulk_create":
        return frozenset({Many(made)})
    return (
        frozenset({Items((made, UNKNOWN))})
        if name.endswith("or_create")
        else made
        if name == "create"
        else UNKNOWN
    )


def _link(frame: Frame, rows: Rows, name: str, node: ast.Call) -> None:
    verbs: dict[str, tuple[Verb, ...]] = {
        "add": ("insert",),
        "remove": ("delete",),
        "clear": ("delete",),
        "set": ("insert", "delete"),
    }
    if rows.through:
        for verb in verbs[name]:
            frame.access(node, rows.through, verb, "related manager")
        signals_sent.of_model(frame, node, rows.through, ("m2m_changed",))
    else:
        frame.access(node, frame.engine.registry.table(rows.model), "update", "related manager")


def _other(frame: Frame, rows: Rows, name: str, node: ast.Call) -> Value | None:
    """Judge a method that a library's manager defines by its name."""
    if name.startswith("_") or name in {"as_sql", "contribute_to_class", "deconstruct", "check"}:
        return UNKNOWN
    for beginnings, verbs in _GUESSES:
        if name.startswith(beginnings):
            if verbs == ("delete",):
                effects.delete(frame, node, rows.model, "library", one=False)
            else:
                effects.save(frame, node, rows.model, verbs, "library")
            return frozenset({Instance(rows.model, new=True)})
    if name.startswith(("get_", "find_", "latest_", "first_")) and not name.endswith("s"):
        queries.read(frame, node, rows, "library")
        return frozenset({Instance(rows.model)})
    if id(node) not in frame.chained:
        queries.read(frame, node, rows, "library")
    return frozenset({dataclasses.replace(rows, related=False, through="")})


def _named(passed: Arguments, *, strings: bool) -> list[str]:
    keywords = [
        name
        for name in passed.named
        if name not in {"defaults", "flat", "named", "nowait", "of", "skip_locked", "using"}
    ]
    nodes = [each for each in passed.nodes if strings or not isinstance(each, ast.Constant)]
    nodes += [
        each
        for each in passed.named_nodes.values()
        if isinstance(each, ast.Call) and last(each.func) in {"F", "Count", "Sum", "Max", "Min", "Avg"}
    ]
    return queries.lookup_names(nodes, keywords)


def _updated(name: str, passed: Arguments) -> list[str] | None:
    if name == "update":
        return None if passed.spread else sorted(passed.named)
    if name == "bulk_update":
        node = passed.nodes[1] if len(passed.nodes) > 1 else passed.named_nodes.get("fields")
        return constants(node)
    return None


def constants(node: ast.expr | None) -> list[str] | None:
    """Give the strings of a list that stands in the code; None if not all of them are known."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        found = [
            each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        return found if len(found) == len(node.elts) else None
    return None
