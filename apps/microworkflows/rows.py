"""Rows of outbox and inbox, inserted without Django's model layer, since every event takes one insert or more."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from microworkflows import times
from microworkflows.one_trip import OneTrip


def insert(connection: BaseDatabaseWrapper, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in one statement, which travels with the commit where the engine is a :class:`~microworkflows.one_trip.OneTrip`.

    Args:
        connection: The database to insert into; the caller manages its transaction.
        table: Name of the table.
        rows: Values by column, the same columns in each. Dictionaries become JSON.
    """
    statement = _statement(connection, table, rows)
    if isinstance(connection, OneTrip) and connection.in_atomic_block:
        connection.run_before_commit(*statement)
        return
    with connection.cursor() as cursor:
        cursor.execute(*statement)


def insert_new(
    connection: BaseDatabaseWrapper, table: str, rows: Sequence[Mapping[str, Any]], *, key: str
) -> set[Any]:
    """Insert the rows whose value of a unique column is new; return the values inserted.

    If another transaction is inserting the same value, this waits until it ends.
    """
    statement, values = _statement(connection, table, rows, key)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {value for (value,) in cursor.fetchall()}


def _statement(
    connection: BaseDatabaseWrapper, table: str, rows: Sequence[Mapping[str, Any]], key: str | None = None
) -> tuple[str, list[Any]]:
    values = [adapted(connection, value) for row in rows for value in row.values()]
    return _text(table, tuple(rows[0]), len(rows), key), values


@lru_cache(maxsize=256)
def _text(table: str, columns: tuple[str, ...], count: int, key: str | None) -> str:
    """Return the statement; PostgreSQL and SQLite read it alike."""
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(["(" + ", ".join(["%s"] * len(columns)) + ")"] * count)
    conflict = f' ON CONFLICT ("{key}") DO NOTHING RETURNING "{key}"' if key else ""
    return f'INSERT INTO "{table}" ({names}) VALUES {values}{conflict}'  # noqa: S608  (own names)


def adapted(connection: BaseDatabaseWrapper, value: Any) -> Any:
    """Return a value as a parameter of a statement of one's own."""
    if isinstance(value, dict):
        return json.dumps(value)
    if connection.vendor == "sqlite":
        if isinstance(value, UUID):
            return value.hex
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
    return value


def time(connection: BaseDatabaseWrapper, value: Any) -> datetime:
    """Return a time that a statement of one's own selected, aware; SQLite gives a text."""
    if isinstance(value, str):
        value = parse_datetime(value)
        if connection.timezone is not None:
            value = timezone.make_aware(value, connection.timezone)
    return times.aware(value)
