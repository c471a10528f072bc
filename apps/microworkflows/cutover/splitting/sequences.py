"""Sequences: the target's go on where the source's stopped, so that no number is given out twice."""

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.tables import Table


def go_on(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[Table]) -> None:
    """Set the sequences that fill columns of these tables; after the highest number where the source has no such sequence."""
    for table in tables:
        ours = dict(of_table(source, table))
        for column, sequence in of_table(target, table):
            if column in ours:
                query = SQL("SELECT last_value, is_called FROM {}").format(SQL(ours[column]))
                ((last, is_called),) = rows(source, query)
            else:
                ((last, is_called),) = rows(
                    target,
                    SQL("SELECT coalesce(max({}), 1), max({}) IS NOT NULL FROM {}").format(
                        Identifier(column), Identifier(column), Identifier(table.name)
                    ),
                )
            execute(target, "SELECT setval(%s::regclass, %s, %s)", [sequence, last, is_called])


def of_table(connection: BaseDatabaseWrapper, table: Table) -> list[tuple[str, str]]:
    """Return each column that a sequence fills, and the sequence's name, quoted for SQL."""
    return rows(
        connection,
        "SELECT name, pg_get_serial_sequence(quote_ident(%s), name) FROM unnest(%s::text[]) AS name"
        " WHERE pg_get_serial_sequence(quote_ident(%s), name) IS NOT NULL",
        [table.name, list(table.columns), table.name],
    )
