"""Patience: what needs a table for itself waits for it in short turns, so that its users never queue up behind it for long."""

import time
from collections.abc import Callable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import Composable

from microworkflows import lock_turns
from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.steps import SplitError

_LONGEST_SECONDS = 5.0
"""Longest wait for a lock at a time."""
_LOOK_SECONDS = 0.02
_MOST_NAMED = 5
_WRITING = ("RowExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")


class BusyError(SplitError):
    """Others use a table for longer than anybody wanted to wait."""


def patiently(
    connection: BaseDatabaseWrapper, tables: Sequence[str], *statements: Composable, patience: float
) -> None:
    """Execute statements in one transaction that need tables for themselves; try until they are free.

    Raises:
        BusyError: others use one of the tables for longer than ``patience`` seconds; the text says who.
    """

    def execute_all() -> None:
        for statement in statements:
            execute(connection, statement)

    in_turns(connection, tables, execute_all, patience=patience)


def in_turns(
    connection: BaseDatabaseWrapper, tables: Sequence[str], do: Callable[[], None], *, patience: float
) -> None:
    """Do in a transaction what needs tables for itself; roll back and try again until they are free.

    Raises:
        BusyError: others use one of the tables for longer than ``patience`` seconds; the text says who.
    """

    def turn(limit: str) -> None:
        execute(connection, limit)
        do()

    try:
        lock_turns.take(connection, turn, what=", ".join(tables), longest=_LONGEST_SECONDS, patience=patience)
    except lock_turns.NoLockError as error:
        raise busy(connection, tables, seconds=patience) from error


def let_writers_end(connection: BaseDatabaseWrapper, tables: Sequence[str], *, seconds: float) -> None:
    """Wait until all transactions have ended that have written, or begun to write, to one of the tables by now.

    It looks and takes no lock, so nobody waits for it. Whoever begins later finds what was committed before: a statement that
    locks a table for writing looks up what has changed about its triggers first.

    Raises:
        BusyError: one of them takes longer than so many seconds; the text says who.
    """
    ends_at = time.monotonic() + seconds
    writers = _writers(connection, tables)
    while writers and (writers := writers & _writers(connection, tables)):
        if time.monotonic() > ends_at:
            raise busy(connection, tables, seconds=seconds)
        time.sleep(_LOOK_SECONDS)


def busy(connection: BaseDatabaseWrapper, tables: Sequence[str], *, seconds: float) -> BusyError:
    """Return the error that says who uses the tables, for how long, and for what; the oldest come first."""
    found = rows(
        connection,
        "SELECT relation::regclass::text, format('pid %%s (in a transaction for %%s s: %%s)', pid,"
        " round(extract(epoch FROM clock_timestamp() - xact_start)),"
        " coalesce(nullif(left(regexp_replace(query, '\\s+', ' ', 'g'), 80), ''), 'its statement is hidden'))"
        " FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE relation = ANY (SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) AS name)"
        " AND granted AND pid <> pg_backend_pid()"
        " ORDER BY mode = 'AccessShareLock', xact_start",
        [list(tables)],
    )
    named = dict.fromkeys(text for _, text in found)
    users = ", ".join(list(named)[:_MOST_NAMED]) or "they have just ended"
    more = f", and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    which = ", ".join(sorted({table for table, _ in found})) or ", ".join(tables)
    return BusyError(
        f"Others have used {which} without a pause for {seconds:.0f} s: {users}{more}. Wait for them, or end them, and try again."
    )


def _writers(connection: BaseDatabaseWrapper, tables: Sequence[str]) -> set[str]:
    found = rows(
        connection,
        "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE granted AND mode = ANY(%s) AND pid IS DISTINCT FROM pg_backend_pid()"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND relation = ANY (SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) AS name)",
        [list(_WRITING), list(tables)],
    )
    return {name for (name,) in found}
