"""The fence: triggers that refuse writes to a context's rows in a database in which it does not work (now).

They raise SQLSTATE 57P03, which Django turns into an OperationalError. A worker takes that for a database out of reach:
it acks nothing and waits with the message in hand. So the fence makes a context pause. Everybody else learns from the
text what happens and what to do.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable, Identifier, Literal

from microworkflows.cutover.splitting.databases import execute, rows
from microworkflows.cutover.splitting.patience import patiently
from microworkflows.cutover.splitting.tables import HISTORY, INBOX, OUTBOX, Table, inbox_of, outbox_of

SQLSTATE = "57P03"
"""PostgreSQL's cannot_connect_now: the condition that describes the state of the context best."""

_LONGEST_NAME = 63


_OPEN = SQL("BEGIN RETURN NEW; END")


@dataclass(frozen=True, kw_only=True)
class Sign:
    """The fence's message to anybody who tries to write."""

    text: str
    hint: str


def put_up(
    connection: BaseDatabaseWrapper,
    context: str,
    tables: Sequence[Table],
    sign: Sign | None,
    *,
    patience: float,
) -> None:
    """Fence a context in, with an open gate if there is no sign; a fence may already stand.

    Each table has a transaction of its own, one after the other: a process that holds one lock and waits for no other
    cannot deadlock. The inbox comes first, so that no event is begun that could not be finished.

    Raises:
        BusyError: a table is in use for longer than ``patience`` seconds.
    """
    if sign is None:
        _define(connection, context, _OPEN)
    else:
        write_on(connection, context, sign)
    for table in sorted(tables, key=lambda table: (table.name != INBOX, table.name == OUTBOX)):
        if statements := _triggers(table, context):
            patiently(connection, [table.name], *statements, patience=patience)


def write_on(connection: BaseDatabaseWrapper, context: str, sign: Sign) -> None:
    """Change the text of a fence, or close an open one; at once, and without a lock."""
    body = SQL("BEGIN RAISE EXCEPTION USING ERRCODE = {}, MESSAGE = {}, HINT = {}; END").format(
        Literal(SQLSTATE), Literal(sign.text), Literal(sign.hint)
    )
    _define(connection, context, body)


def open_gate(connection: BaseDatabaseWrapper, context: str) -> None:
    """Let everybody through a fence, if there is one; at once, and without a lock."""
    if _function(connection, context) is not None:
        _define(connection, context, _OPEN)


def take_down(
    connection: BaseDatabaseWrapper, context: str, tables: Sequence[Table], *, patience: float
) -> None:
    """Remove an open fence.

    Raises:
        BusyError: a table is in use for longer than ``patience`` seconds.
    """
    for table in tables:
        statements = [
            SQL("DROP TRIGGER IF EXISTS {} ON {}").format(name, Identifier(table.name))
            for name in _names(table, context)
        ]
        if statements and _has_trigger(connection, context, table):
            patiently(connection, [table.name], *statements, patience=patience)
    execute(connection, SQL("DROP FUNCTION IF EXISTS {}()").format(_name(context)))


def is_closed(connection: BaseDatabaseWrapper, context: str) -> bool:
    """Return True if a fence stands and lets nobody through."""
    return "RAISE" in (_function(connection, context) or "")


@contextmanager
def passing(connection: BaseDatabaseWrapper, context: str) -> Iterator[None]:
    """Open a transaction that passes the context's fence."""
    with transaction.atomic(using=connection.alias):
        execute(connection, "SELECT set_config('microworkflows.moving', %s, true)", [context])
        yield


def _triggers(table: Table, context: str) -> list[Composable]:
    """Return the statements that fence a table in.

    In inbox and outbox, which all contexts share, they guard only the context's rows, and not against the relay's marks,
    since the relay goes on while the fence stands. The history needs none: whoever writes it writes to the inbox before.
    """
    outsider = SQL("current_setting('microworkflows.moving', true) IS DISTINCT FROM {}").format(
        Literal(context)
    )
    when: list[tuple[SQL, SQL, Composable]]
    if table.name == HISTORY:
        when = []
    elif not table.of_events:
        when = [(SQL("INSERT OR UPDATE OR DELETE OR TRUNCATE"), SQL("STATEMENT"), outsider)]
    elif table.name == INBOX:
        handled = SQL("(NEW.status, NEW.retry) IS DISTINCT FROM (OLD.status, OLD.retry)")
        of_context = SQL("{} AND {}").format(inbox_of(context, "new"), outsider)
        when = [
            (SQL("INSERT"), SQL("ROW"), of_context),
            (SQL("UPDATE"), SQL("ROW"), SQL("{} AND {}").format(handled, of_context)),
        ]
    else:
        pending_again = SQL("NEW.status = 1 AND OLD.status <> 1")
        of_context = SQL("{} AND {}").format(outbox_of(context, "new"), outsider)
        when = [
            (SQL("INSERT"), SQL("ROW"), of_context),
            (SQL("UPDATE"), SQL("ROW"), SQL("{} AND {}").format(pending_again, of_context)),
        ]
    return [
        SQL(
            "CREATE OR REPLACE TRIGGER {} BEFORE {} ON {} FOR EACH {} WHEN ({}) EXECUTE FUNCTION {}()"
        ).format(name, operation, Identifier(table.name), each, condition, _name(context))
        for name, (operation, each, condition) in zip(_names(table, context), when, strict=True)
    ]


def _names(table: Table, context: str) -> list[Identifier]:
    if table.name == HISTORY:
        return []
    parts = ["insert", "update"] if table.of_events else ["write"]
    return [Identifier(f"microworkflows_fence_{part}_{context}"[:_LONGEST_NAME]) for part in parts]


def _name(context: str) -> Identifier:
    return Identifier(f"microworkflows_fence_{context}"[:_LONGEST_NAME])


def _define(connection: BaseDatabaseWrapper, context: str, body: Composable) -> None:
    connection.ensure_connection()
    text = Literal(body.as_string(connection.connection))
    execute(
        connection,
        SQL("CREATE OR REPLACE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
            _name(context), text
        ),
    )


def _function(connection: BaseDatabaseWrapper, context: str) -> str | None:
    found = rows(
        connection,
        "SELECT prosrc FROM pg_proc WHERE proname = %s AND pg_function_is_visible(oid)",
        [_name(context).as_string()[1:-1]],
    )
    return found[0][0] if found else None


def _has_trigger(connection: BaseDatabaseWrapper, context: str, table: Table) -> bool:
    names = [name.as_string()[1:-1] for name in _names(table, context)]
    query = "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(quote_ident(%s)) AND tgname = ANY(%s)"
    return bool(rows(connection, query, [table.name, names]))
