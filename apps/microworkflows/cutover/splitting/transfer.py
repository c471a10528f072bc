"""Transfer: rows that a query of the source finds arrive in a temporary table of the target."""

from collections.abc import Callable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable, Identifier

from microworkflows.cutover.splitting.databases import execute
from microworkflows.cutover.splitting.tables import Table, each


def make(connection: BaseDatabaseWrapper, name: Identifier, table: Table, columns: Sequence[str]) -> None:
    """Make a temporary table with some columns of a table, for the time of the transaction."""
    execute(connection, SQL("DROP TABLE IF EXISTS pg_temp.{}").format(name))
    execute(
        connection,
        SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
            name, each(columns), Identifier(table.name)
        ),
    )


def send(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    query: Composable,
    into: Composable,
    columns: Sequence[str],
    *,
    each_row: Callable[[], None] = lambda: None,
) -> None:
    """Send the rows of a query to a table of the target, one after the other, however many there are."""
    sending = SQL("COPY ({}) TO STDOUT").format(query)
    taking = SQL("COPY {} ({}) FROM STDIN").format(into, each(columns))
    with (
        source.cursor() as reading,
        target.cursor() as writing,
        reading.copy(sending) as sent,
        writing.copy(taking) as taken,
    ):
        for row in sent:  # PostgreSQL sends one at a time
            taken.write(row)
            each_row()
