"""The two databases of a move: the source, on which this process runs, and the target, given as a URL."""

import os
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.conninfo import conninfo_to_dict

from microworkflows import poolers
from microworkflows.cutover.splitting.steps import SplitError

TARGET = "microworkflows_target"
"""Alias under which the target is known to Django, in this thread and while the move runs."""

_PREDECESSOR_SECONDS = 10.0
"""Longest time that the session of a killed mover may take to end on the server."""


@contextmanager
def target_at(url: str, *, source: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Make the database at ``url`` known as :data:`TARGET`, with the source's engine. It is not connected yet.

    Raises:
        SplitError: it is not the URL of a PostgreSQL database.
    """
    given = _read(url)
    target = source.copy(alias=TARGET)
    target.settings_dict.update(
        NAME=given.pop("dbname"),
        USER=given.pop("user", ""),
        PASSWORD=given.pop("password", ""),
        HOST=given.pop("host", ""),
        PORT=given.pop("port", ""),
        OPTIONS=given,
    )
    connections[TARGET] = target
    try:
        yield target
    finally:
        target.close()
        del connections[TARGET]


def address(connection: BaseDatabaseWrapper, *, hidden_password: bool = False) -> str:
    """Return a database's URL without its password, or with ``***`` in its place."""
    database = connection.settings_dict
    login = database["USER"] + (":***" if hidden_password and database["PASSWORD"] else "")
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgresql://{login and f'{login}@'}{database['HOST']}{port}/{database['NAME']}"


def setting() -> str:
    """Return the name of what says in this project which database a process works on."""
    return "the DATABASE_URL" if is_by_url() else f"DATABASES[{DEFAULT_DB_ALIAS!r}]"


def is_by_url() -> bool:
    """Return True if this process was given the URL of its database by its environment, as the guide's projects are."""
    return bool(os.environ.get("DATABASE_URL"))


def rows(connection: BaseDatabaseWrapper, query: Any, params: Any = None) -> list[tuple[Any, ...]]:
    """Return the rows that a query finds."""
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall())


def execute(connection: BaseDatabaseWrapper, statement: Any, params: Any = None) -> None:
    """Execute a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


@contextmanager
def only_mover(connection: BaseDatabaseWrapper, context: str) -> Iterator[None]:
    """Hold the lock for moving this context out of or into this database; it ends with the session.

    Raises:
        SplitError: another mover holds it.
        SharedSessionError: a pooler would give the lock to others.
    """
    poolers.raise_if_shared(connection)
    execute(connection, "SELECT set_config('statement_timeout', '0', false)")  # a large table takes its time
    key = tuple(zlib.crc32(text.encode()) - 2**31 for text in ("microworkflows.split", context))
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while True:
        with _lock(connection, "%s, %s", key) as held:
            if held:
                yield
                return
        if time.monotonic() > deadline:
            raise SplitError(
                f"Another split_database is moving {context} from or to {address(connection)}. Wait for it, or end it."
            )
        time.sleep(0.1)


def migrate(target: BaseDatabaseWrapper, *, alias: str) -> None:
    """Bring the target's tables up to date.

    It runs under the alias of the source: a data migration that names no database must not write to the source.
    """
    source, swapped = connections[alias], target.copy(alias=alias)
    connections[alias] = swapped
    try:
        call_command("migrate", database=alias, interactive=False, verbosity=0)
    finally:
        swapped.close()
        connections[alias] = source
        _forget_content_types()


def _forget_content_types() -> None:
    """Clear Django's cache of content types: under the source's alias, it holds the target's."""
    from django.apps import apps

    if apps.is_installed("django.contrib.contenttypes"):
        from django.contrib.contenttypes.models import ContentType

        ContentType.objects.clear_cache()


def _read(url: str) -> dict[str, Any]:
    with suppress(psycopg.Error):  # its text would quote the URL, password and all
        given = dict(conninfo_to_dict(url))
        if url.startswith(("postgresql://", "postgres://")) and given.get("dbname"):
            return given
    raise SplitError(
        "--to is not the URL of a PostgreSQL database. Write postgresql://user:password@host:5432/name."
    )


@contextmanager
def _lock(connection: BaseDatabaseWrapper, key: str, values: tuple[int, ...]) -> Iterator[bool]:
    """Try to take an advisory lock of this session; yield True if it was free."""
    ((held,),) = rows(connection, f"SELECT pg_try_advisory_lock({key})", values)
    try:
        yield held
    finally:
        if held:
            with suppress(DatabaseError):  # a session that is gone holds nothing
                execute(connection, f"SELECT pg_advisory_unlock({key})", values)
