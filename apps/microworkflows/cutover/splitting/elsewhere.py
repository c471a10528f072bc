"""Others' tables in a context's own database: they are absent, and a view in their place refuses whoever reads or writes.

*Prepare* migrates all apps into the target, since a context's migrations may need those of others. What the others' made
there holds nothing: a query would find no rows, and an update would change none, and nobody would notice. So their tables
are dropped. The view in the place of each calls a function that raises, and so do its triggers, whose statement-level
one fires also when there is no row to change.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from psycopg.sql import SQL, Composable, Identifier, Literal

from microworkflows import database_errors, times
from microworkflows.cutover.models import ContextMove, OwnDatabase
from microworkflows.cutover.splitting import others, tables
from microworkflows.cutover.splitting.databases import address, execute, rows
from microworkflows.cutover.splitting.patience import in_turns
from microworkflows.cutover.splitting.steps import AWAY, SplitError

SET_ASIDE = "microworkflows_set_aside"
"""Schema that keeps the rows which were in others' tables, such as those that a migration put there."""

_READ, _WRITE = Identifier("microworkflows_elsewhere"), Identifier("microworkflows_elsewhere_write")
_OF_KIT = ("microworkflows_", "django_outbox_pattern_")
_PATIENCE = 120.0
"""Seconds for which to try to replace a table that somebody uses."""


@dataclass(frozen=True)
class Relation:
    """A table or view of a database, as far as the search path shows it."""

    schema: str
    name: str
    kind: str
    """``r``, ``p`` and ``f`` are tables, ``v`` and ``m`` views (PostgreSQL's relkind)."""
    columns: tuple[tuple[str, str], ...]
    """Name and type of each column."""
    refuses: bool
    """True for a view of the fence."""

    @property
    def is_table(self) -> bool:
        """True if it can hold rows of its own."""
        return self.kind in {"r", "p", "f"}

    @property
    def full_name(self) -> Composable:
        """Its name with its schema, for SQL."""
        return Identifier(self.schema, self.name)


@dataclass
class Done:
    """The result of putting the fence up."""

    fenced: list[str] = field(default_factory=list)
    """Names that refuse now and did not before."""
    set_aside: dict[str, int] = field(default_factory=dict)
    """Numbers of rows, by table, that are now in the schema :data:`SET_ASIDE`."""


def mark(target: BaseDatabaseWrapper, context: str, source: BaseDatabaseWrapper) -> None:
    """Note in a new database for which context it is made, and where the others' rows are.

    Raises:
        SplitError: others work in it.
    """
    if working := _others_at_work(target, context):
        raise SplitError(
            f"{address(target)} has messages of {', '.join(working)}, so others work in it, and their tables cannot be fenced "
            f"off. Create a new database for {context}."
        )
    here = OwnDatabase.objects.using(source.alias).first()
    away = ContextMove.objects.using(source.alias).filter(step__in=AWAY)
    places = dict(here.places if here else {}) | dict(away.values_list("context", "target"))
    places.pop(context, None)
    place = {"others": here.others if here else address(source), "places": places}
    OwnDatabase.objects.using(target.alias).update_or_create(
        pk=context, defaults=place, create_defaults={**place, "made_at": times.now()}
    )


def keep_up(connection: BaseDatabaseWrapper, *, new: bool = False) -> Done:
    """Fence others' tables off, in a database that was made for a context; do nothing in any other.

    It may be done again at any time, and then sees to the tables and columns that have come since.

    Args:
        connection: The database.
        new: True if all that is there was made by migrations just now: then tables that belong to no model are fenced off,
            too, for their rows were not copied.

    Raises:
        SplitError: a table of the context cannot do without one of the others.
    """
    if connection.vendor != "postgresql" or not (owners := others.made_for(connection)):
        return Done()
    _define(connection)
    fence = _Fence(connection, owners, others.of_others(owners), _relations(connection), Done())
    fence.put_in_place_of_tables(unknown=new)
    fence.put_where_none_is()
    return fence.done


def filled(connection: BaseDatabaseWrapper, context: str) -> dict[str, int]:
    """Return the numbers of rows in others' tables of a database; only of those that have any."""
    found = {}
    for name, relation in _relations(connection).items():
        if relation.is_table and name in others.of_others([context]):
            ((number,),) = rows(connection, SQL("SELECT count(*) FROM {}").format(relation.full_name))
            if number:
                found[name] = number
    return found


@dataclass(frozen=True)
class _Fence:
    """The refusing views of one database, while they are put up."""

    connection: BaseDatabaseWrapper
    owners: Mapping[str, OwnDatabase]
    models: Mapping[str, type[Model]]
    relations: Mapping[str, Relation]
    """All that was there before."""
    done: Done

    def put_in_place_of_tables(self, *, unknown: bool) -> None:
        """Replace others' tables, and those that belong to no model if ``unknown``; each in a transaction of its own."""
        home = others.at_home(self.owners)
        for name, found in self.relations.items():
            nobodys = unknown and name not in home and not name.startswith(_OF_KIT)
            gone = name in self.done.fenced  # with another one that it was a part of
            if found.is_table and (name in self.models or nobodys) and not gone:
                self._replace(found, home)

    def put_where_none_is(self) -> None:
        """See to models that came later: others' new tables are not made here, and their new columns are not known."""
        for name, model in self.models.items():
            there, columns = self.relations.get(name), tuple(_columns_of(self.connection, model))
            new = there is not None and set(columns) - set(there.columns)
            if there is None or (
                there.refuses and {name for name, _ in new or ()} - dict(there.columns).keys()
            ):
                schema = there.schema if there else _schema(self.connection)
                view = Relation(schema, name, "v", columns, refuses=True)
                in_turns(self.connection, [name], partial(self._renew, view), patience=_PATIENCE)

    def _renew(self, view: Relation) -> None:
        execute(self.connection, SQL("DROP VIEW IF EXISTS {}").format(view.full_name))
        self._refuse_at(view)

    def _replace(self, table: Relation, home: set[str]) -> None:
        """Put a refusing view in the place of a table, and of the views that read it."""
        kind = SQL("FOREIGN TABLE" if table.kind == "f" else "TABLE")

        def replace() -> None:
            if number := _set_aside(self.connection, table):
                self.done.set_aside[table.name] = number
            before = _names(self.connection)
            execute(self.connection, SQL("DROP {} {} CASCADE").format(kind, table.full_name))
            for name in sorted(before - _names(self.connection)):
                if (lost := self.relations.get(name)) is None:
                    continue  # a part of a partitioned table
                if lost.is_table and name in home:
                    raise SplitError(f"{name} cannot do without {table.name}: it is a part or a child of it.")
                self._refuse_at(lost)

        in_turns(self.connection, [table.name], replace, patience=_PATIENCE)

    def _refuse_at(self, relation: Relation) -> None:
        text, hint = map(Literal, self._text(relation.name))
        columns = relation.columns or (("id", "text"),)
        typed = SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(kind)) for name, kind in columns)
        view = relation.full_name
        execute(
            self.connection,
            SQL("CREATE VIEW {} AS SELECT * FROM {}({}, {}) AS it({})").format(
                view, _READ, text, hint, typed
            ),
        )
        # The statement's trigger fires without a row to change; without the rows' the view takes no write, and says less.
        for name, when, each in (("row", "INSTEAD OF", "ROW"), ("statement", "BEFORE", "STATEMENT")):
            trigger = Identifier(f"microworkflows_elsewhere_{name}")
            execute(
                self.connection,
                SQL(
                    "CREATE TRIGGER {} {} INSERT OR UPDATE OR DELETE ON {} FOR EACH {} EXECUTE FUNCTION {}({}, {})"
                ).format(trigger, SQL(when), view, SQL(each), _WRITE, text, hint),
            )
        # Whoever may not even look would read of a missing right, and not where the rows are.
        execute(self.connection, SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO PUBLIC").format(view))
        self.done.fenced.append(relation.name)

    def _text(self, name: str) -> tuple[str, str]:
        """Return the text for whoever reads or writes, and the hint."""
        here = f"{address(self.connection)}, the database of {', '.join(self.owners)}"
        place = next(iter(self.owners.values()))
        if (model := self.models.get(name)) is None:
            there = f"it belongs to no model, and its rows are in {place.others}"
        else:
            app = model._meta.app_label
            there = f"{model._meta.label} belongs to {app}, whose rows are in {place.places.get(app, place.others)}"
        return (
            f"{name} is not in {here}: {there}. Nothing was read or written.",
            (
                "Let an event ask its owner, or keep a copy that its events bring up to date. A table that each database shall "
                "have for itself is named in MICROWORKFLOWS['IN_EVERY_DATABASE'] before the move."
            ),
        )


def _set_aside(connection: BaseDatabaseWrapper, table: Relation) -> int:
    """Keep the rows of a table that is about to go; return their number."""
    ((filled,),) = rows(connection, SQL("SELECT EXISTS (SELECT FROM {})").format(table.full_name))
    if not filled:
        return 0
    kept = Identifier(SET_ASIDE, table.name)
    execute(connection, SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(SET_ASIDE)))
    execute(connection, SQL("CREATE TABLE {} AS TABLE {}").format(kept, table.full_name))
    ((number,),) = rows(connection, SQL("SELECT count(*) FROM {}").format(kept))
    return int(number)


def _define(connection: BaseDatabaseWrapper) -> None:
    """Make the two functions that raise."""
    for name, arguments, returned, text, hint in (
        (_READ, "text text, hint text", "SETOF record", "text", "hint"),
        (_WRITE, "", "trigger", "TG_ARGV[0]", "TG_ARGV[1]"),
    ):
        body = f"BEGIN RAISE EXCEPTION USING ERRCODE = '{database_errors.PERMANENT}', MESSAGE = {text}, HINT = {hint}; END"
        execute(
            connection,
            SQL("CREATE OR REPLACE FUNCTION {}({}) RETURNS {} LANGUAGE plpgsql VOLATILE AS {}").format(
                name, SQL(arguments), SQL(returned), Literal(body)
            ),
        )


def _relations(connection: BaseDatabaseWrapper) -> dict[str, Relation]:
    """Return what the search path shows, except what extensions brought; of a partitioned table, not its parts."""
    found = rows(
        connection,
        "SELECT nspname, relname, relkind, array_agg(attname ORDER BY attnum) FILTER (WHERE attnum > 0),"
        " array_agg(format_type(atttypid, atttypmod) ORDER BY attnum) FILTER (WHERE attnum > 0),"
        " relkind = 'v' AND pg_get_viewdef(pg_class.oid) LIKE '%%microworkflows_elsewhere(%%'"
        " FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
        " WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT relispartition AND pg_table_is_visible(pg_class.oid)"
        " AND nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS ("
        "SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')"
        " GROUP BY pg_class.oid, nspname, relname, relkind ORDER BY relname",
        [],
    )
    return {
        name: Relation(
            schema, name, kind, tuple(zip(columns or (), types or (), strict=True)), refuses=bool(refuses)
        )
        for schema, name, kind, columns, types, refuses in found
        if name != "django_migrations"
    }


def _names(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the names of all tables and views that the search path shows."""
    found = rows(
        connection,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND pg_table_is_visible(oid)",
    )
    return {name for (name,) in found}


def _columns_of(connection: BaseDatabaseWrapper, model: type[Model]) -> Iterator[tuple[str, str]]:
    """Yield name and type of each column that a model has; a type that this database does not know becomes text."""
    for each in model._meta.local_concrete_fields:
        kind = each.db_type(connection)
        if kind is not None and each.column is not None:
            ((known,),) = rows(connection, "SELECT to_regtype(%s) IS NOT NULL", [kind])
            yield each.column, kind if known else "text"


def _schema(connection: BaseDatabaseWrapper) -> str:
    ((schema,),) = rows(connection, "SELECT current_schema()")
    return str(schema)


def _others_at_work(target: BaseDatabaseWrapper, context: str) -> Sequence[str]:
    """Return the contexts, except this one, of which a database has messages."""
    statement = SQL(
        "SELECT split_part(destination, '.', 1) FROM {} UNION SELECT substring(msg_id FROM '^[^.:]+') FROM {}"
    )
    found = rows(target, statement.format(Identifier(tables.OUTBOX), Identifier(tables.INBOX)))
    return sorted({name for (name,) in found} - {context})
