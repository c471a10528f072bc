"""Sessions: one snapshot of the source, and the same form of values from both servers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL

from microworkflows.cutover.splitting import fence
from microworkflows.cutover.splitting.databases import execute
from microworkflows.cutover.splitting.tables import Table, each

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "transaction_timeout": "0",  # of PostgreSQL 17 and later
    "idle_in_transaction_session_timeout": "0",
}


@contextmanager
def both(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    context: str,
    *,
    snapshot_of: Sequence[Table] = (),
) -> Iterator[None]:
    """Open a transaction in both databases; the one in the target passes the fence, and is committed first.

    Args:
        source: The source.
        target: The target.
        context: Label of the context.
        snapshot_of: Tables to be read as they are at one moment, without later commits. Nobody truncates them meanwhile, which a
            snapshot would not hide.
    """
    with transaction.atomic(using=source.alias):
        if snapshot_of:
            execute(source, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            locked = each([table.name for table in snapshot_of])
            execute(source, SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(locked))
        with fence.passing(target, context):
            for connection in (source, target):
                _write_values_alike(connection)
            yield


def _write_values_alike(connection: BaseDatabaseWrapper) -> None:
    """Make a server write values in the same form as any other, in the open transaction."""
    execute(
        connection,
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
        " JOIN pg_settings USING (name)",
        [list(_SETTINGS), list(_SETTINGS.values())],
    )
