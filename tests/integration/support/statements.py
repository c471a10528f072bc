"""Listening to what this process says to PostgreSQL: libpq writes it down, so nothing that is sent can hide.

Django's own log of queries knows what went through its cursors; a pipeline, a COPY or a prepared statement goes past it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg import pq

_SENT = re.compile(
    r"^F\t\d+\t(Query|Parse|Bind|Execute|Sync)(?:\t (.*?))?(?=\n[BF]\t\d+\t|\n?\Z)", re.MULTILINE | re.DOTALL
)
_TOUCHES = re.compile(
    r"(?<!FOR )(?<!DO )\b(INSERT INTO|UPDATE|DELETE FROM|FROM(?! STDIN)|JOIN|COPY|LISTEN) \"?(\w+)\b(?!\()",
    re.IGNORECASE,
)
_VERBS = {"INSERT INTO": "INSERT", "DELETE FROM": "DELETE", "FROM": "SELECT", "JOIN": "SELECT"}


class Heard:
    """What was said, in order."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    @property
    def sql(self) -> list[str]:
        """Every statement that was executed, in full; one that was prepared counts each time."""
        return [text for _, text in self._sent() if text]

    @property
    def statements(self) -> list[str]:
        """The same in short, such as ``INSERT published`` or ``SELECT pg_notify``."""
        return [short(text) for text in self.sql]

    @property
    def round_trips(self) -> int:
        """How often an answer was waited for: a pipeline waits once for all that it sends."""
        return sum(kind in {"Query", "Sync"} for kind, _ in self._sent())

    def _sent(self) -> Iterator[tuple[str, str]]:
        """Yield each message by its kind, with the SQL that it executes, if any."""
        prepared: dict[str, str] = {}
        bound = ""
        for kind, content in _SENT.findall(self._trace.read_text()):
            if kind == "Parse":
                name, _, rest = content.removeprefix('"').partition('" "')
                prepared[name] = rest.rpartition('"')[0]
            elif kind == "Bind":
                bound = content.split('"')[3]
            executed = {"Query": content[1:-1], "Execute": prepared.get(bound, "")}
            yield kind, executed.get(kind, "")


def short(sql: str) -> str:
    """Return what a statement does to what; a statement that does several things names each."""
    done = [f"{_VERBS.get(verb.upper(), verb.upper())} {table}" for verb, table in _TOUCHES.findall(sql)]
    if done:
        return " + ".join(dict.fromkeys(done))
    called = re.match(r"SELECT (\w+)", sql)
    return called[0] if called else sql.split(maxsplit=1)[0]


@contextmanager
def overheard(folder: Path, *, opened: bool = False) -> Iterator[Heard]:
    """Listen to this thread's connection or, where that is asked for, to all that are ``opened`` in the block.

    PostgreSQL's own answer to a statement is left out.
    """
    trace = folder / f"trace_{len(list(folder.iterdir()))}"
    file = os.open(trace, os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def listen(connection: BaseDatabaseWrapper, **_: Any) -> None:
        session: Any = connection.connection
        session.pgconn.trace(file)
        session.pgconn.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)

    if opened:
        connection_created.connect(listen)
    else:
        connection.ensure_connection()
        listen(connection)
    try:
        yield Heard(trace)
    finally:
        if opened:
            connection_created.disconnect(listen)
        else:
            connection.connection.pgconn.untrace()
        os.close(file)
