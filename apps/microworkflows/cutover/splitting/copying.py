"""Copying: a context's rows go from one database to the other in one transaction, verified before the commit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows.cutover.splitting import fence, verifying
from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.progress import Progress
from microworkflows.cutover.splitting.tables import Table, count, each


def copy(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    context: str,
    tables: Sequence[Table],
    *,
    progress: Progress,
) -> dict[str, int]:
    """Replace a context's rows in the target by those of the source; return the number of rows by table.

    Raises:
        SplitError: the rows that arrived are not those that were sent; the target is unchanged.
    """
    with _snapshot(source), fence.passing(target, context):
        for connection in (source, target):
            verifying.write_values_alike(connection)
        for table in reversed(tables):
            execute(target, table.delete())
        progress.begin(sum(count(source, table) for table in tables))
        for table in tables:
            _copy(source, target, table, progress)
            _set_sequences(source, target, table)
        progress.end()
        return {table.name: verifying.verify(source, target, table) for table in tables}


@contextmanager
def _snapshot(source: BaseDatabaseWrapper) -> Iterator[None]:
    """Read the source inside the block as it is at the beginning, without later commits."""
    with transaction.atomic(using=source.alias):
        execute(source, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _copy(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table, progress: Progress) -> None:
    columns = each(table.columns)
    send = SQL("COPY ({}) TO STDOUT").format(table.select(columns))
    take = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), columns)
    progress.name(table.name)
    with (
        source.cursor() as sending,
        target.cursor() as taking,
        sending.copy(send) as sent,
        taking.copy(take) as taken,
    ):
        for row in sent:  # PostgreSQL sends one at a time
            taken.write(row)
            progress.add()


def _set_sequences(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table) -> None:
    """Make the target's sequences go on where the source's stopped, so that no number is given out twice."""
    theirs = dict(_sequences(target, table))
    for column, sequence in _sequences(source, table):
        ((last, is_called),) = rows(source, SQL("SELECT last_value, is_called FROM {}").format(SQL(sequence)))
        execute(target, "SELECT setval(%s::regclass, %s, %s)", [theirs[column], last, is_called])


def _sequences(connection: BaseDatabaseWrapper, table: Table) -> list[tuple[str, str]]:
    """Return each column that a sequence fills, and the sequence's name, quoted for SQL."""
    return rows(
        connection,
        "SELECT name, pg_get_serial_sequence(quote_ident(%s), name) FROM unnest(%s::text[]) AS name"
        " WHERE pg_get_serial_sequence(quote_ident(%s), name) IS NOT NULL",
        [table.name, list(table.columns), table.name],
    )
