"""Rows of outbox and inbox, inserted without Django's model layer: this is done once or more for every event there is."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper


def insert(
    connection: BaseDatabaseWrapper,
    table: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    unless: str | None = None,
) -> int:
    """Insert rows in one statement; return how many there are now that were not there before.

    Args:
        connection: Where to; its transaction is the caller's business.
        table: Name of the table.
        rows: Values by column, the same columns in each. Dictionaries become JSON.
        unless: A unique column: a row is left out if there is one with its value. Who comes second waits here until
            the transaction of the first ends.
    """
    statement = _statement(table, tuple(rows[0]), len(rows), unless)
    with connection.cursor() as cursor:
        cursor.execute(statement, [_adapted(connection, value) for row in rows for value in row.values()])
        return int(cursor.rowcount)


@lru_cache(maxsize=256)
def _statement(table: str, columns: tuple[str, ...], count: int, unless: str | None) -> str:
    """Return the statement; PostgreSQL and SQLite read it alike."""
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(["(" + ", ".join(["%s"] * len(columns)) + ")"] * count)
    conflict = f' ON CONFLICT ("{unless}") DO NOTHING' if unless else ""
    return f'INSERT INTO "{table}" ({names}) VALUES {values}{conflict}'  # noqa: S608  (own names)


def _adapted(connection: BaseDatabaseWrapper, value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)
    if connection.vendor == "sqlite":
        if isinstance(value, UUID):
            return value.hex
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
    return value
