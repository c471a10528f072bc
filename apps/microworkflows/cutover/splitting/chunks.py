"""Chunks: a table is copied range by range of its key while others write to it; no lock, no long transaction, no long snapshot.

Each range is read as it is at a moment of its own. Whatever changes between the moments is noted (:mod:`.capture`) and copied again
afterwards. So a row that cannot be added beside those of an earlier moment, since both have the same unique value, is left out: at
least one of the two has changed since, and both are right in the end.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable, Identifier, Literal

from microworkflows.cutover.splitting import fence, sessions, transfer
from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.tables import Table, each

Key = Sequence[str]
"""A key's values, as text."""

_ARRIVED = Identifier("microworkflows_arrived")
_FEWEST, _FIRST, _MOST = 100, 2_000, 100_000
_SECONDS = 1.0
"""Time that a chunk should take, about: so much is done again by a mover that was killed."""


@dataclass
class Size:
    """The number of rows of a chunk, which follows the time that the last one took: rows can be small or large."""

    rows: int = _FIRST

    def took(self, seconds: float) -> None:
        """Take less or more at a time."""
        if seconds > 2 * _SECONDS:
            self.rows = max(self.rows // 2, _FEWEST)
        elif seconds < _SECONDS / 2:
            self.rows = min(self.rows * 2, _MOST)


def copy(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    context: str,
    table: Table,
    *,
    after: Key | None,
    note: Callable[[Key | None], None],
    each_row: Callable[[], None] = lambda: None,
) -> None:
    """Copy a table that has a key.

    Args:
        source: The source.
        target: The target.
        context: Label of the context.
        table: The table.
        after: The key up to which it was copied before; None to begin.
        note: Is called with the key up to which it is copied after each chunk, and with None when all is.
        each_row: Is called for each row.
    """
    size = Size()
    while True:
        began_at = time.monotonic()
        with sessions.both(source, target, context):
            up_to = _boundary(source, table, after, size.rows)
            query = SQL("{} AND {}").format(table.select(each(table.columns)), _range(table, after, up_to))
            transfer.make(target, _ARRIVED, table, table.columns)
            transfer.send(source, target, query, _ARRIVED, table.columns, each_row=each_row)
            execute(
                target,
                SQL(
                    "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} ON CONFLICT DO NOTHING"
                ).format(Identifier(table.name), each(table.columns), each(table.columns), _ARRIVED),
            )
        note(up_to)
        if up_to is None:
            return
        after = up_to
        size.took(time.monotonic() - began_at)


def delete(connection: BaseDatabaseWrapper, context: str, table: Table) -> None:
    """Delete the rows that are meant, range by range."""
    after: Key | None = None
    while True:
        with fence.passing(connection, context):
            up_to = _boundary(connection, table, after, _FIRST)
            execute(connection, SQL("{} AND {}").format(table.delete(), _range(table, after, up_to)))
        if up_to is None:
            return
        after = up_to


def _boundary(connection: BaseDatabaseWrapper, table: Table, after: Key | None, size: int) -> Key | None:
    """Return the key of the last row of the next chunk; None if there are not so many rows left."""
    # The key's index gives the rows in order. With old statistics, PostgreSQL may believe that to sort all of them is faster.
    execute(connection, "SET LOCAL enable_sort = off")
    texts = SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in table.key_columns)
    # With the table's name: by itself, a column's name would mean its text.
    ordered = SQL(", ").join(Identifier(table.name, name) for name in table.key_columns)
    found = rows(
        connection,
        SQL("{} AND {} ORDER BY {} OFFSET {} LIMIT 1").format(
            table.select(texts), _range(table, after, None), ordered, Literal(size - 1)
        ),
    )
    return found[0] if found else None


def _range(table: Table, after: Key | None, up_to: Key | None) -> Composable:
    """Return the condition for keys after one and up to another."""
    bounds = [
        SQL("({}) {} ({})").format(
            each(table.key_columns),
            SQL(sign),
            SQL(", ").join(
                SQL("{}::{}").format(Literal(value), SQL(kind))
                for value, (_, kind) in zip(key, table.key, strict=True)
            ),
        )
        for sign, key in ((">", after), ("<=", up_to))
        if key is not None
    ]
    return SQL(" AND ").join(bounds) if bounds else SQL("TRUE")
