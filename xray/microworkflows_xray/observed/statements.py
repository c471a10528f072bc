"""Statements: what goes through Django's connections, and through psycopg below them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from microworkflows_xray.observed.patching import patched
from microworkflows_xray.observed.recording import Recording

_inside = threading.local()


def hook(recording: Recording) -> ExitStack:
    """Record the statements of all connections, those included that are made later."""
    opened = ExitStack()
    wrapped: list[BaseDatabaseWrapper] = []

    def wrap(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not recording.listens():
            return execute(sql, params, many, context)
        began = time.perf_counter()
        before, _inside.django = getattr(_inside, "django", False), True
        try:
            return execute(sql, params, many, context)
        finally:
            _inside.django = before
            try:
                recording.statement(sys._getframe(1), context["connection"], sql, time.perf_counter() - began)  # noqa: SLF001
            except Exception as error:
                recording.failed("reading a statement", error)

    def look_at(connection: BaseDatabaseWrapper, **_: Any) -> None:
        # First, because a block ``connection.execute_wrapper(…)`` takes out the last one when it ends.
        if wrap not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrap)
            wrapped.append(connection)

    connection_created.connect(look_at, weak=False, dispatch_uid=wrap)
    opened.callback(connection_created.disconnect, dispatch_uid=wrap)
    for connection in connections.all(initialized_only=True):
        look_at(connection)

    def forget() -> None:
        for connection in wrapped:
            if wrap in connection.execute_wrappers:
                connection.execute_wrappers.remove(wrap)

    opened.callback(forget)
    _look_below(recording, opened)
    return opened


def _look_below(recording: Recording, opened: ExitStack) -> None:
    """Record what is sent on psycopg's own cursors; those of psycopg2 and sqlite3 are written in C, and cannot be seen."""
    psycopg = sys.modules.get("psycopg")
    if psycopg is None:
        return

    def execute(original: Callable[..., Any], cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "django", False) or not recording.listens():
            return original(cursor, query, *args, **kwargs)
        began = time.perf_counter()
        try:
            return original(cursor, query, *args, **kwargs)
        finally:
            try:
                text = query.as_string(cursor) if hasattr(query, "as_string") else query
                connection = _connection_of(cursor)
                if connection is not None:
                    recording.statement(sys._getframe(2), connection, text, time.perf_counter() - began)  # noqa: SLF001
            except Exception as error:
                recording.failed("reading a statement of psycopg", error)

    for name in ("execute", "executemany"):
        opened.enter_context(patched(psycopg.Cursor, name, execute))


def _connection_of(cursor: Any) -> BaseDatabaseWrapper | None:
    return next(
        (each for each in connections.all(initialized_only=True) if each.connection is cursor.connection),
        None,
    )
