"""Functions of Django, the standard library and others that the code calls: what they give, read and write."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from . import guesses, queries, signals_sent, tasks_sent
from .engine import Frame
from .values import UNKNOWN, ClassOf, Instance, Rows, Value, item, many, union

if TYPE_CHECKING:
    from .calling import Arguments

_SAME = frozenset(
    {
        "copy",
        "deepcopy",
        "sync_to_async",
        "async_to_sync",
        "partial",
        "cast",
        "atomic",
        "aclosing",
        "closing",
        "nullcontext",
        "cache",
        "lru_cache",
        "method_decorator",
    }
)
_MERGE = frozenset({"chain", "from_iterable", "islice", "tqdm", "cycle", "batched", "chunked", "groupby"})
_SHORTCUTS = frozenset({"get_object_or_404", "aget_object_or_404", "get_list_or_404", "aget_list_or_404"})


def call(frame: Frame, name: str, passed: Arguments, node: ast.Call) -> Value:
    """Tell what a call of a function outside the code gives."""
    holder, _, last = name.rpartition(".")
    sent = signals_sent.outside(frame, holder, last, passed, node)
    if sent is not None:
        return sent
    first = passed.positional[0] if passed.positional else UNKNOWN
    if last in _SHORTCUTS:
        return _shortcut(frame, last, first, passed, node)
    if holder.startswith("django.contrib.auth"):
        return _auth(frame, last, passed, node)
    if last in _SAME:
        return passed.positional[-1] if last == "cast" and passed.positional else first
    if last in _MERGE:
        members = [item(value) for value in passed.positional]
        return (
            many(union([*members, *(item(each) for each in members)]))
            if last == "from_iterable"
            else many(union(members))
        )
    if last in {"Thread", "Process", "Timer"} or any(
        word in last.lower() for word in ("enqueue", "async_task", "run_task")
    ):
        tasks_sent.handed(frame, passed, node, "task")
    return UNKNOWN


def _shortcut(frame: Frame, name: str, first: Value, passed: Arguments, node: ast.Call) -> Value:
    found = []
    for each in first:
        rows = each
        if isinstance(each, ClassOf):
            models = frame.engine.registry.concrete(each.cls)
            if not models:
                continue
            rows = Rows(models[0])
        if isinstance(rows, Rows):
            narrowed = queries.lookups(rows, queries.lookup_names(passed.nodes[1:], passed.named), frame)
            queries.read(frame, node, narrowed)
            found.append(Instance(rows.model))
    one = frozenset(found)
    return many(one) if "list" in name else one


def _auth(frame: Frame, name: str, passed: Arguments, node: ast.Call) -> Value:
    """Logging in writes the user's last login and the session."""
    registry = frame.engine.registry
    session = registry.by_label("sessions", "Session")
    user = guesses.user(frame)
    if name in {"login", "alogin"}:
        for each in user:
            if isinstance(each, Instance):
                _last_login(frame, each, node)
        if session:
            frame.access(node, registry.table(session), "insert", "session")
    elif name in {"logout", "alogout", "update_session_auth_hash"} and session:
        frame.access(node, registry.table(session), "delete", "session")
    elif name in {"authenticate", "aauthenticate", "get_user", "aget_user"}:
        for each in user:
            if isinstance(each, Instance):
                frame.access(node, registry.table(each.cls), "read", "query")
    else:
        return UNKNOWN
    return user


def _last_login(frame: Frame, user: Instance, node: ast.Call) -> None:
    from . import effects

    if frame.engine.registry.column(user.cls, "last_login"):
        effects.save(frame, node, user.cls, ("update",), "save", columns=("last_login",))
