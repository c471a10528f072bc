"""Constraints of the target that cannot hold while its rows are of several moments: they are laid aside, and come back.

These are foreign keys, and unique constraints that are checked at the end of a transaction. All others hold throughout, or make a
row wait for its turn (:mod:`.chunks`). Triggers of the project are laid aside with them: what they do for a row they did in the source.
"""

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.patience import patiently
from microworkflows.cutover.splitting.tables import Table

Aside = Sequence[Sequence[str]]
"""Kind (``f`` for a foreign key, ``t`` for a trigger), table, name and definition of each, as JSON keeps them."""

_AT_ONCE = frozenset("ft")
"""Kinds that come back without looking at rows."""


def to_lay_aside(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> Aside:
    """Return what has to be laid aside; a foreign key will come back without looking at its rows."""
    return rows(
        connection,
        "SELECT contype::text AS kind, relname, conname, pg_get_constraintdef(pg_constraint.oid)"
        " || CASE WHEN contype = 'f' AND relkind = 'r' AND convalidated THEN ' NOT VALID' ELSE '' END"
        " FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE conrelid = ANY (SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) AS name)"
        " AND conparentid = 0 AND (contype = 'f' OR contype IN ('u', 'x') AND condeferrable)"
        " UNION ALL SELECT 't', relname, tgname, CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END"
        " FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE tgrelid = ANY (SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) AS name) AND NOT tgisinternal"
        " AND tgparentid = 0 AND tgenabled IN ('O', 'A') AND NOT starts_with(tgname, 'microworkflows_') ORDER BY kind, conname",
        [[table.name for table in tables]] * 2,
    )


def lay(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Drop them, foreign keys first, since they need the unique ones, and disable triggers."""
    for kind, table, name, _ in sorted(aside, key=lambda constraint: constraint[0] != "f"):
        drop = "DISABLE TRIGGER" if kind == "t" else "DROP CONSTRAINT IF EXISTS"
        statement = SQL(f"ALTER TABLE {{}} {drop} {{}}")
        patiently(
            connection, [table], statement.format(Identifier(table), Identifier(name)), patience=patience
        )


def lay_again(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Lay foreign keys and triggers aside: ON DELETE CASCADE would take rows along that did not change."""
    lay(connection, [constraint for constraint in aside if constraint[0] in _AT_ONCE], patience=patience)


def bring_back_unique(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Make the unique constraints again; this reads all rows."""
    _make(
        connection, [constraint for constraint in aside if constraint[0] not in _AT_ONCE], patience=patience
    )


def bring_back_at_once(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Make the foreign keys again, and enable triggers, for rows that are written from now on."""
    _make(connection, [constraint for constraint in aside if constraint[0] in _AT_ONCE], patience=patience)


def validate(connection: BaseDatabaseWrapper, aside: Aside) -> None:
    """Let the foreign keys hold for all rows, while others go on to write."""
    for _, table, name, definition in aside:
        if definition.endswith(" NOT VALID"):
            execute(
                connection,
                SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(Identifier(table), Identifier(name)),
            )


def _make(connection: BaseDatabaseWrapper, constraints: Aside, *, patience: float) -> None:
    for kind, table, name, definition in constraints:
        if kind == "t":
            enabled = SQL(f"ALTER TABLE {{}} {definition} TRIGGER {{}}").format(
                Identifier(table), Identifier(name)
            )
            patiently(connection, [table], enabled, patience=patience)
            continue
        known = "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(quote_ident(%s)) AND conname = %s"
        if not rows(connection, known, [table, name]):
            statement = SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                Identifier(table), Identifier(name), SQL(definition)
            )
            patiently(connection, [table], statement, patience=patience)
