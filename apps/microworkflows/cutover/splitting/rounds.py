"""Rounds: what has changed since the last one is copied again; then the target is what the source was at one moment.

A round takes all changes that are noted by a moment, and reads the rows as they are at that moment. It deletes these keys in the
target and adds the rows that still exist. Since that leads from one state of the source to a later one, all constraints hold.
It may be done twice: the changes are forgotten after the target has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows.cutover.splitting import sessions, transfer, verifying
from microworkflows.cutover.splitting.capture import changes_of
from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.tables import Table, each

_KEYS, _ARRIVED = Identifier("microworkflows_keys"), Identifier("microworkflows_arrived")
_MANY = 10_000
"""So many changes that are forgotten should not be read over again and again."""


@dataclass
class Round:
    """The result of a round."""

    changed: dict[str, int] = field(default_factory=dict)
    """Number of keys that were copied again, by table."""
    grown: dict[str, int] = field(default_factory=dict)
    """Number of rows that the table in the target has more than before, by table."""
    counts: dict[str, int] = field(default_factory=dict)
    """Number of rows by table, if all were verified."""


def catch_up(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    context: str,
    tables: Sequence[Table],
    *,
    verify_all: bool = False,
) -> Round:
    """Bring the target to the present state of the source; compare all rows at that moment if ``verify_all``.

    Raises:
        SplitError: the rows that arrived are not those that were sent; the target is as before.
    """
    done = Round()
    with sessions.both(source, target, context, snapshot_of=tables):
        for table in tables:
            _copy_changes(source, target, context, table, done)
        if verify_all:
            done.counts = {table.name: verifying.verify(source, target, table) for table in tables}
    for table in tables:
        if done.changed.get(table.name, 0) > _MANY:
            execute(source, SQL("VACUUM {}").format(changes_of(context, table)))
    return done


def replace(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str, tables: Sequence[Table]
) -> dict[str, int]:
    """Copy tables as a whole, verified: those without a key, for which nobody can tell what has changed. Return the numbers of rows.

    Raises:
        SplitError: the rows that arrived are not those that were sent; the target is as before.
    """
    if not tables:
        return {}
    with sessions.both(source, target, context, snapshot_of=tables):
        for table in tables:
            execute(target, table.delete())
            columns = table.columns
            transfer.send(source, target, table.select(each(columns)), Identifier(table.name), columns)
        return {table.name: verifying.verify(source, target, table) for table in tables}


def _copy_changes(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str, table: Table, done: Round
) -> None:
    changes, name, key = changes_of(context, table), Identifier(table.name), each(table.key_columns)
    if not rows(source, SQL("SELECT FROM {} LIMIT 1").format(changes)):
        return
    transfer.make(source, _KEYS, table, table.key_columns)
    execute(source, SQL("INSERT INTO {} SELECT DISTINCT * FROM {}").format(_KEYS, changes))
    execute(source, SQL("DELETE FROM {}").format(changes))
    transfer.make(target, _KEYS, table, table.key_columns)
    transfer.send(source, target, SQL("SELECT {} FROM {}").format(key, _KEYS), _KEYS, table.key_columns)
    for connection in (source, target):
        execute(connection, SQL("ANALYZE {}").format(_KEYS))

    transfer.make(target, _ARRIVED, table, table.columns)
    changed = SQL("FROM {} JOIN {} USING ({}) WHERE {}").format(name, _KEYS, key, table.condition)
    transfer.send(
        source, target, SQL("SELECT {} {}").format(each(table.columns), changed), _ARRIVED, table.columns
    )
    gone = _delete(target, table)
    stored = SQL(
        "WITH stored AS (INSERT INTO {} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {} RETURNING {columns})"
        " SELECT {} FROM stored"
    ).format(name, _ARRIVED, verifying.checksum(table), columns=each(table.columns))
    sent = verifying.total(source, SQL("SELECT {} {}").format(verifying.checksum(table), changed))
    arrived = verifying.compare(table, sent=sent, arrived=verifying.total(target, stored))
    done.changed[table.name] = rows(source, SQL("SELECT count(*) FROM {}").format(_KEYS))[0][0]
    done.grown[table.name] = arrived - gone


def _delete(target: BaseDatabaseWrapper, table: Table) -> int:
    """Delete the rows with the keys that have changed, or all after a TRUNCATE; return their number."""
    first = Identifier(table.key_columns[0])
    truncated = rows(target, SQL("SELECT FROM {} WHERE {} IS NULL LIMIT 1").format(_KEYS, first))
    same = SQL(" AND ").join(
        SQL("own.{} = changed.{}").format(Identifier(column), Identifier(column))
        for column in table.key_columns
    )
    some = SQL("DELETE FROM {} AS own USING {} AS changed WHERE {} AND {}").format(
        Identifier(table.name), _KEYS, same, table.holds("own")
    )
    with target.cursor() as cursor:
        cursor.execute(table.delete() if truncated else some)
        return int(cursor.rowcount)
