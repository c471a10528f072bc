"""Capture: while rows are copied, triggers note the key of each row that is written, in the transaction that writes it.

Each table has a table of changes with the columns of its key. A row without a key there says that the table was truncated. What the
row holds is read later, so it does not matter how often, and in which order, it changed.
"""

import zlib
from collections.abc import Iterator, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable, Identifier, Literal

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.patience import patiently
from microworkflows.cutover.splitting.tables import Table, each

_LONGEST_NAME = 63
_EVENTS = ("insert", "update", "delete", "truncate")
_PREFIX = "microworkflows_changes"


def put_up(
    connection: BaseDatabaseWrapper, context: str, tables: Sequence[Table], *, patience: float
) -> None:
    """Note from now on what changes, in all tables with a key; transactions that write to them now have ended before.

    Raises:
        BusyError: a table is in use for longer than ``patience`` seconds.
    """
    ((schema,),) = rows(connection, "SELECT current_schema()")
    for table in _with_key(tables):
        changes = Identifier(schema, _name(context, table))
        about = f"Keys of rows of {table.name} that change while {context} is moved by split_database, which drops this table."
        patiently(
            connection,
            [table.name],
            SQL("CREATE TABLE IF NOT EXISTS {} AS SELECT {} FROM {} WITH NO DATA").format(
                changes, each(table.key_columns), Identifier(table.name)
            ),
            SQL("COMMENT ON TABLE {} IS {}").format(changes, Literal(about)),
            SQL("GRANT INSERT ON {} TO PUBLIC").format(changes),  # to whoever may write the rows themselves
            _function(connection, changes, _body(changes, table)),
            *_triggers(table, context, changes),
            patience=patience,
        )


def stands(connection: BaseDatabaseWrapper, context: str, tables: Sequence[Table]) -> bool:
    """Return True if no table with a key lacks a trigger, or has one that somebody switched off."""
    for table in _with_key(tables):
        ((number,),) = rows(
            connection,
            "SELECT count(*) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid WHERE tgrelid = to_regclass(quote_ident(%s))"
            " AND tgname = ANY(%s) AND proname = %s AND tgenabled IN ('O', 'A') AND prosrc LIKE '%%INSERT INTO%%'"
            " AND to_regclass(quote_ident(proname)) IS NOT NULL",
            [table.name, [_trigger(context, event) for event in _EVENTS], _name(context, table)],
        )
        if number < len(_EVENTS):
            return False
    return True


def take_down(
    connection: BaseDatabaseWrapper, context: str, tables: Sequence[Table], *, patience: float
) -> None:
    """Note nothing any more, from this moment on, and leave nothing behind.

    Raises:
        BusyError: a table is in use for longer than ``patience`` seconds. It may be done again.
    """
    noted = [table for table in tables if _is_known(connection, _name(context, table))]
    for table in noted:
        name = Identifier(_name(context, table))
        execute(connection, _function(connection, name, SQL("BEGIN RETURN NULL; END")))
    for table in noted:
        name, own = Identifier(_name(context, table)), Identifier(table.name)
        patiently(
            connection,
            [table.name],
            *(
                SQL("DROP TRIGGER IF EXISTS {} ON {}").format(Identifier(_trigger(context, event)), own)
                for event in _EVENTS
            ),
            SQL("DROP FUNCTION {}()").format(name),
            SQL("DROP TABLE IF EXISTS {}").format(name),
            patience=patience,
        )


def changes_of(context: str, table: Table) -> Identifier:
    """Return the name of the table of changes."""
    return Identifier(_name(context, table))


def _with_key(tables: Sequence[Table]) -> Iterator[Table]:
    return (table for table in tables if table.key)


def _name(context: str, table: Table) -> str:
    """Return a name that says what it is about and is unique however long the table's own name is."""
    digest = f"_{zlib.crc32(f'{context}.{table.name}'.encode()):08x}"
    return f"{_PREFIX}_{context}_{table.name}"[: _LONGEST_NAME - len(digest)] + digest


def _trigger(context: str, event: str) -> str:
    return f"{_PREFIX}_{event}_{context}"[:_LONGEST_NAME]


def _triggers(table: Table, context: str, function: Identifier) -> list[Composable]:
    old, new = table.holds("old"), table.holds("new")
    conditions = {
        "insert": new,
        "update": SQL("({}) OR ({})").format(old, new),
        "delete": old,
        "truncate": SQL("TRUE"),
    }
    return [
        SQL("CREATE OR REPLACE TRIGGER {} AFTER {} ON {} FOR EACH {} WHEN ({}) EXECUTE FUNCTION {}()").format(
            Identifier(_trigger(context, event)),
            SQL(event.upper()),
            Identifier(table.name),
            SQL("STATEMENT" if event == "truncate" else "ROW"),
            condition,
            function,
        )
        for event, condition in conditions.items()
    ]


def _body(changes: Identifier, table: Table) -> Composable:
    """Return the function's body; in a trigger on INSERT, all of OLD is null."""
    old, new = (SQL(", ").join(Identifier(row, name) for name in table.key_columns) for row in ("old", "new"))
    nothing = SQL(", ").join(SQL("NULL") for _ in table.key)
    return SQL(
        "BEGIN IF TG_OP = 'TRUNCATE' THEN INSERT INTO {changes} VALUES ({nothing}); RETURN NULL; END IF;"
        " IF TG_OP <> 'INSERT' THEN INSERT INTO {changes} VALUES ({old}); END IF;"
        " IF TG_OP <> 'DELETE' AND ROW({new}) IS DISTINCT FROM ROW({old})"
        " THEN INSERT INTO {changes} VALUES ({new}); END IF; RETURN NULL; END"
    ).format(changes=changes, nothing=nothing, old=old, new=new)


def _function(connection: BaseDatabaseWrapper, name: Identifier, body: Composable) -> Composable:
    connection.ensure_connection()
    text = Literal(body.as_string(connection.connection))
    return SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(name, text)


def _is_known(connection: BaseDatabaseWrapper, name: str) -> bool:
    query = "SELECT 1 FROM pg_proc WHERE proname = %s AND pg_function_is_visible(oid)"
    return bool(rows(connection, query, [name]))
