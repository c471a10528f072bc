"""Verifying: both databases have the same rows, by their number and a checksum that is independent of their order."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.steps import SplitError
from microworkflows.cutover.splitting.tables import Table, each

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "statement_timeout": "0",  # a large table takes its time
    "idle_in_transaction_session_timeout": "0",
}


def write_values_alike(connection: BaseDatabaseWrapper) -> None:
    """Make a server write values in the same form as any other, in the open transaction."""
    for name, value in _SETTINGS.items():
        execute(connection, "SELECT set_config(%s, %s, true)", [name, value])


def verify(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, table: Table) -> int:
    """Return the number of rows of a table, which is the same in both databases.

    Raises:
        SplitError: the rows differ.
    """
    sent, arrived = _sum(source, table), _sum(target, table)
    if sent != arrived:
        raise SplitError(
            f"The rows that arrived in {table.name} are not those that were sent: {arrived[0]} with the checksum "
            f"{arrived[1]}, not {sent[0]} with {sent[1]}. Does a trigger or rule of the target change them? Nothing was "
            "kept there."
        )
    return sent[0]


def _sum(connection: BaseDatabaseWrapper, table: Table) -> tuple[int, int]:
    """Return the number of rows and the sum of 60 bits of the MD5 of each (a sum, so that duplicate rows count)."""
    checksum = SQL(
        "count(*), coalesce(sum(('x' || left(md5(ROW({})::text), 15))::bit(60)::bigint::numeric), 0)"
    ).format(each(table.columns))
    ((count, total),) = rows(connection, table.select(checksum))
    return int(count), int(total)
