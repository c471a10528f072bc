"""The rows of a context in a database: the tables of its models, and its rows of inbox, history and outbox."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import CycleError, TopologicalSorter

from django.apps import apps
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.sql import SQL, Composable, Identifier, Literal

from microworkflows.cutover.splitting.databases import rows
from microworkflows.models import HistoryEntry, InboxEvent, OutboxEvent

INBOX = InboxEvent._meta.db_table
OUTBOX = OutboxEvent._meta.db_table
HISTORY = HistoryEntry._meta.db_table


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, and the condition for the rows that are meant."""

    name: str
    columns: tuple[str, ...]
    """All columns except those that the database computes."""
    key: tuple[tuple[str, str], ...]
    """Name and type of each column of its primary key, or of another key that every row has; empty if it has none."""
    holds: Callable[[str], Composable]
    """Return the condition, in SQL, that a row belongs to the context; the row has a name, such as ``new``, or none."""

    @property
    def condition(self) -> Composable:
        """The condition for the rows that are meant."""
        return self.holds("")

    @property
    def key_columns(self) -> tuple[str, ...]:
        """Names of the key's columns."""
        return tuple(name for name, _ in self.key)

    @property
    def of_events(self) -> bool:
        """True if it is inbox, history or outbox, which the contexts of a database share."""
        return self.name in {INBOX, HISTORY, OUTBOX}

    def select(self, what: Composable) -> Composable:
        """Return a query of the rows that are meant."""
        return SQL("SELECT {} FROM {} WHERE {}").format(what, Identifier(self.name), self.condition)

    def delete(self) -> Composable:
        """Return the statement that deletes them."""
        return SQL("DELETE FROM {} WHERE {}").format(Identifier(self.name), self.condition)


def of_context(connection: BaseDatabaseWrapper, context: str) -> list[Table]:
    """Return a context's tables, those that are referred to before those that refer to them."""
    names = _in_order(connection, [model._meta.db_table for model in models_of(context)])
    return [
        *(_table(connection, name, lambda row: SQL("TRUE")) for name in names),
        _table(connection, INBOX, partial(inbox_of, context)),
        _table(connection, HISTORY, partial(inbox_of, context)),
        _table(connection, OUTBOX, partial(outbox_of, context)),
    ]


def count(connection: BaseDatabaseWrapper, table: Table) -> int:
    """Return the number of rows that are meant."""
    ((number,),) = rows(connection, table.select(SQL("count(*)")))
    return int(number)


def inbox_of(context: str, row: str = "") -> Composable:
    """Return the condition that a row of the inbox, or of the history of its messages, belongs to a context."""
    return SQL("{} ~ {}").format(_column(row, "msg_id"), Literal(f"^{context}[.:]"))


def outbox_of(context: str, row: str = "") -> Composable:
    """Return the condition that a row of the outbox belongs to a context."""
    return SQL("split_part({}, '.', 1) = {} AND {} ? 'microworkflow'").format(
        _column(row, "destination"), Literal(context), _column(row, "headers")
    )


def unfinished(context: str) -> list[Composable]:
    """Return the statements that delete the context's messages with which somebody would still do something; indexes hold these."""
    inbox, outbox = InboxEvent.Status, OutboxEvent.Status
    found: list[tuple[str, Composable, Sequence[int]]] = [
        (INBOX, inbox_of(context), [inbox.WAITING]),
        (INBOX, inbox_of(context), [inbox.PARKED]),
        (OUTBOX, outbox_of(context), [outbox.PENDING, outbox.UNHEARD, outbox.REJECTED, outbox.SCHEDULED]),
    ]
    deletions: list[Composable] = []
    for table, condition, statuses in found:
        numbers: list[Composable] = [Literal(int(status)) for status in statuses]
        deletions.append(
            SQL("DELETE FROM {} WHERE status IN ({}) AND {}").format(
                Identifier(table), SQL(", ").join(numbers), condition
            )
        )
    return deletions


def models_of(context: str) -> "list[type[models.Model]]":
    """Return a context's models that have a table of their own, those of many-to-many fields included."""
    if context not in apps.app_configs:
        return []
    return [model for model in _models(context) if model._meta.managed and not model._meta.proxy]


def unmanaged(connection: BaseDatabaseWrapper, context: str) -> list[str]:
    """Return the tables (not views) of a context that its migrations do not make."""
    names = [model._meta.db_table for model in _models(context) if not model._meta.managed]
    found = rows(
        connection,
        "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)",
        [names],
    )
    return sorted(name for (name,) in found)


def columns_of(connection: BaseDatabaseWrapper, table: str) -> tuple[str, ...]:
    """Return the columns of a table by name, except those that the database computes; none if there is no table."""
    return tuple(types_of(connection, table))


def types_of(connection: BaseDatabaseWrapper, table: str) -> dict[str, str]:
    """Return the types of these columns, by name."""
    found = rows(
        connection,
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(%s))"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attname",
        [table],
    )
    return dict(found)


def each(columns: Sequence[str]) -> Composable:
    """Return column names as a list in SQL."""
    return SQL(", ").join(map(Identifier, columns))


def references(connection: BaseDatabaseWrapper) -> "list[tuple[str, str, str]]":
    """Return each foreign key of the database: its name, the table that refers, the table referred to."""
    return rows(
        connection,
        "SELECT conname, referring.relname, referred.relname FROM pg_constraint"
        " JOIN pg_class AS referring ON referring.oid = conrelid"
        " JOIN pg_class AS referred ON referred.oid = confrelid"
        " WHERE contype = 'f' AND pg_table_is_visible(conrelid) ORDER BY conname",
    )


def _models(context: str) -> "Iterator[type[models.Model]]":
    if context in apps.app_configs:
        yield from apps.get_app_config(context).get_models(include_auto_created=True)


def _in_order(connection: BaseDatabaseWrapper, names: Sequence[str]) -> list[str]:
    graph: TopologicalSorter[str] = TopologicalSorter({name: set() for name in sorted(names)})
    for _, referring, referred in references(connection):
        if referring in names and referred in names and referring != referred:
            graph.add(referring, referred)
    try:
        return list(graph.static_order())
    except CycleError:  # Django's constraints wait for the end of the transaction, so any order will do
        return sorted(names)


def _table(connection: BaseDatabaseWrapper, name: str, holds: Callable[[str], Composable]) -> Table:
    return Table(name=name, columns=columns_of(connection, name), key=_key_of(connection, name), holds=holds)


def _key_of(connection: BaseDatabaseWrapper, name: str) -> tuple[tuple[str, str], ...]:
    """Return the primary key of a table, or any other unique index of plain columns that are never null."""
    found = rows(
        connection,
        "SELECT array_agg(attname ORDER BY place), array_agg(format_type(atttypid, atttypmod) ORDER BY place)"
        " FROM pg_index CROSS JOIN unnest(indkey::int2[]) WITH ORDINALITY AS part (number, place)"
        " JOIN pg_attribute ON attrelid = indrelid AND attnum = number"
        " WHERE indrelid = to_regclass(quote_ident(%s)) AND indisunique AND indimmediate AND indisvalid"
        " AND indpred IS NULL AND indexprs IS NULL AND place <= indnkeyatts"
        " GROUP BY indexrelid, indisprimary HAVING bool_and(attnotnull)"
        " ORDER BY indisprimary DESC, indexrelid LIMIT 1",
        [name],
    )
    return tuple(zip(*found[0], strict=True)) if found else ()


def _column(row: str, name: str) -> Composable:
    return Identifier(row, name) if row else Identifier(name)
