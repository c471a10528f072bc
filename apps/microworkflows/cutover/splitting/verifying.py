"""Verifying: both databases have the same rows, by their number and a checksum that is independent of their order."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable

from microworkflows.cutover.splitting.databases import rows
from microworkflows.cutover.splitting.steps import SplitError
from microworkflows.cutover.splitting.tables import Table, each

Sum = tuple[int, int]
"""A number of rows, and the sum of 60 bits of the MD5 of each (a sum, so that duplicate rows count)."""


def checksum(table: Table) -> Composable:
    """Return what is selected of rows for their :data:`Sum`."""
    return SQL(
        "count(*), coalesce(sum(('x' || left(md5(ROW({})::text), 15))::bit(60)::bigint::numeric), 0)"
    ).format(each(table.columns))


def verify(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table) -> int:
    """Return the number of rows of a table, which is the same in both databases.

    Raises:
        SplitError: the rows differ.
    """
    query = table.select(checksum(table))
    return compare(table, sent=total(source, query), arrived=total(target, query))


def total(connection: BaseDatabaseWrapper, query: Composable) -> Sum:
    """Return the sum that a query finds."""
    ((count, number),) = rows(connection, query)
    return int(count), int(number)


def compare(table: Table, *, sent: Sum, arrived: Sum) -> int:
    """Return the number of rows.

    Raises:
        SplitError: those that arrived are not those that were sent.
    """
    if sent != arrived:
        raise SplitError(
            f"The rows that arrived in {table.name} are not those that were sent: {arrived[0]} with the checksum "
            f"{arrived[1]}, not {sent[0]} with {sent[1]}. Does a trigger or rule of the target change them, or does somebody "
            "write to the source past its triggers (session_replication_role)?"
        )
    return sent[0]
