"""Constraints of the target that cannot hold while its rows are of several moments: they are laid aside, and come back.

These are foreign keys, and unique constraints that are checked at the end of a transaction. All others hold throughout, or make a
row wait for its turn (:mod:`.chunks`).
"""

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Identifier

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.patience import patiently
from microworkflows.cutover.splitting.tables import Table

Aside = Sequence[Sequence[str]]
"""Kind (``f`` for a foreign key), table, name and definition of each constraint, as JSON keeps them."""


def to_lay_aside(connection: BaseDatabaseWrapper, tables: Sequence[Table]) -> Aside:
    """Return the constraints that have to be laid aside; a foreign key will come back without looking at its rows."""
    return rows(
        connection,
        "SELECT contype, relname, conname, pg_get_constraintdef(pg_constraint.oid)"
        " || CASE WHEN contype = 'f' AND relkind = 'r' AND convalidated THEN ' NOT VALID' ELSE '' END"
        " FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE conrelid = ANY (SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) AS name)"
        " AND conparentid = 0 AND (contype = 'f' OR contype IN ('u', 'x') AND condeferrable) ORDER BY contype, conname",
        [[table.name for table in tables]],
    )


def lay(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Drop them, foreign keys first: they need the unique ones."""
    for _, table, name, _ in sorted(aside, key=lambda constraint: constraint[0] != "f"):
        statement = SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}")
        patiently(
            connection, [table], statement.format(Identifier(table), Identifier(name)), patience=patience
        )


def lay_foreign_keys(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Drop those that are foreign keys: one with ON DELETE CASCADE would take rows along that did not change."""
    lay(connection, [constraint for constraint in aside if constraint[0] == "f"], patience=patience)


def bring_back_unique(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Make those again that are no foreign keys; this reads all rows."""
    _make(connection, [constraint for constraint in aside if constraint[0] != "f"], patience=patience)


def bring_back_foreign_keys(connection: BaseDatabaseWrapper, aside: Aside, *, patience: float) -> None:
    """Make the foreign keys again, for rows that are written from now on; at once."""
    _make(connection, [constraint for constraint in aside if constraint[0] == "f"], patience=patience)


def validate(connection: BaseDatabaseWrapper, aside: Aside) -> None:
    """Let the foreign keys hold for all rows, while others go on to write."""
    for _, table, name, definition in aside:
        if definition.endswith(" NOT VALID"):
            execute(
                connection,
                SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(Identifier(table), Identifier(name)),
            )


def _make(connection: BaseDatabaseWrapper, constraints: Aside, *, patience: float) -> None:
    for _, table, name, definition in constraints:
        known = "SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(quote_ident(%s)) AND conname = %s"
        if not rows(connection, known, [table, name]):
            statement = SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                Identifier(table), Identifier(name), SQL(definition)
            )
            patiently(connection, [table], statement, patience=patience)
