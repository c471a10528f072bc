"""Preflight: the obstacles to moving a context are reported before anything is changed."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from django.apps import apps
from django.db import DatabaseError, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from psycopg.sql import SQL, Identifier

from microworkflows import poolers
from microworkflows.cutover import conf, queries, switch
from microworkflows.cutover.models import ContextMode, ContextMove, OwnDatabase
from microworkflows.cutover.splitting import elsewhere, fence, others, sequences, shapes
from microworkflows.cutover.splitting.databases import address, rows, setting
from microworkflows.cutover.splitting.steps import AWAY, DONE, SplitError
from microworkflows.cutover.splitting.tables import (
    Table,
    columns_of,
    count,
    models_of,
    references,
    types_of,
    unmanaged,
)
from microworkflows.cutover.splitting.tables import of_context as tables_of
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.unplugging import proof
from microworkflows.models import Heartbeat

_FILLED_BY_DJANGO = {"django_migrations", "django_content_type", "auth_permission", "django_site"}
_FILLED_BY_WORKERS = {Heartbeat._meta.db_table}
"""A worker that was tried out in a new database leaves no more there."""
_FILLED_BY_MOVES = {OwnDatabase._meta.db_table}
"""A move that was given up leaves this there."""


def refuse(context: str, problems: Iterable[str]) -> None:
    """Raise if there are problems.

    Raises:
        SplitError: there are problems; the text names them all.
    """
    if found := list(problems):
        listed = "".join(f"\n- {problem}" for problem in found)
        raise SplitError(f"{context} cannot be moved as it is:{listed}")


def of_migrations(source: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield a problem if migrations are not applied."""
    executor = MigrationExecutor(source)
    if plan := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in plan)
        yield f"Migrations are not applied in {address(source)}: {names}. Run manage.py migrate."


def of_source(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str, *, unproven: str = ""
) -> Iterator[str]:
    """Yield the reasons why the context cannot leave this database for the other as it is.

    Args:
        source: The database that it is to leave.
        target: The other one.
        context: Its label.
        unproven: The reason to do without a proof that it is apart from the others.
    """
    if fence.is_closed(source, context):
        yield (
            f"{address(source)} is not the database in which {context} works: it was moved away, or is just being "
            f"moved here. Let {setting()} lead to the one in which it works."
        )
    if (made_for := others.made_for(source)) and context not in made_for:
        place = next(iter(made_for.values()))
        yield (
            f"{address(source)} was made for {', '.join(made_for)}, and {context} has no tables there. Let {setting()} "
            f"lead to {place.places.get(context, place.others)}, in which it works."
        )
        return
    if not unproven:
        yield from of_proof(source, target, context)
    yield from of_steps_by_monolith(source, target, context)
    yield from _of_models(context)
    yield from _of_references(source, context)
    yield from shapes.unmovable(source, tables_of(source, context))
    yield from _of_generic_keys(context)
    if tables := unmanaged(source, context):
        yield (
            f"{context} has models that it does not manage, so no migration makes their tables: {', '.join(tables)}. "
            "Manage them (managed = True), or move them to another app."
        )


def of_proof(source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str) -> Iterator[str]:
    """Yield a problem if nothing proves that the context and the others leave each other's tables and code alone.

    One that moves back, or on from a database of its own, needs no proof: it works apart already, or the others are there.
    """
    with suppress(DatabaseError):  # a target out of reach is told in its turn
        if others.made_for(source) or was_left(target, context):
            return
    try:
        proof.of(context)
    except proof.UnprovenError as error:
        yield (
            f"Nothing proves that {context} is apart from the others. {error} Run manage.py unplug {context} with the project's tests "
            'on this very code, and deploy the file with it; or move without a proof, by --unproven "why".'
        )


def of_steps_by_monolith(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str
) -> Iterator[str]:
    """Yield the reasons why the monolith may still have steps of the context to do in this database.

    A context that nobody hands over here and that moves back to where it came from brings them to the monolith.
    """
    if context not in conf.contexts():
        with suppress(DatabaseError):  # a target out of reach is told in its turn
            if was_left(target, context):
                return
    yield from _of_mode(source, context)
    if number := queries.unsettled(context).by_monolith:
        yield (
            f"{number} flows began when {context} was not live for them, and are still under way: the monolith has to do "
            f"{context}'s steps in them, in this database. Let them end; `manage.py parked --waiting` lists the messages "
            "that hold them up."
        )
    if number := queries.left_to_monolith(context):
        yield (
            f"{number} messages of {context} wait or are parked, and the monolith has to handle them, in this database; in "
            f"another nobody could. Mend what they failed on, and `manage.py replay --context {context}` while the "
            "monolith's worker runs."
        )


def of_target(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, context: str, *, resumed: bool
) -> Iterator[str]:
    """Yield the reasons why the context cannot go to this database."""
    try:
        target.ensure_connection()
    except DatabaseError as error:
        yield f"{address(target)} cannot be reached: {str(error).strip()}"
        return
    if not resumed and _is_untidy(target, context):
        yield (
            f"The move of {context} from {address(target)} to this database has not ended: run split_database there once more."
        )
    if poolers.are_the_same(source, target):
        yield f"{address(target)} is the database that {context} is in. Name another one with --to."
    elif not resumed and not was_left(target, context) and (tables := _filled(target)):
        yield (
            f"{address(target)} is not empty: there are rows in {', '.join(tables)}. Create a new database for {context}; "
            "its tables are made by this command."
        )
    elif (made_for := others.made_for(target)) and context not in made_for:
        yield (
            f"{address(target)} was made for {', '.join(made_for)}, and the tables of {context} are absent there. Create a new "
            f"database for {context}."
        )


def of_prepared_target(
    source: BaseDatabaseWrapper,
    target: BaseDatabaseWrapper,
    context: str,
    tables: Sequence[Table],
    *,
    begun: bool,
) -> Iterator[str]:
    """Yield the reasons why the context cannot go to the target, although its tables exist there now.

    Args:
        source: The source.
        target: The target.
        context: Label of the context.
        tables: Its tables in the source.
        begun: True if rows of it are there because a move has begun to copy them.
    """
    yield from of_columns(source, target, tables)
    known = [table for table in tables if table.of_events and columns_of(target, table.name) == table.columns]
    if not begun and not was_left(target, context) and any(count(target, table) for table in known):
        yield f"{context} has worked in {address(target)} already. End its worker there, and create it anew."
    yield from _of_references(target, context)


def of_columns(
    source: BaseDatabaseWrapper, target: BaseDatabaseWrapper, tables: Sequence[Table]
) -> Iterator[str]:
    """Yield a problem if tables of the source have other columns or types, or other numbers of their own accord, than in the target."""
    other = [table.name for table in tables if types_of(target, table.name) != types_of(source, table.name)]
    if other:
        yield (
            f"{', '.join(other)}: other columns in {address(target)}, by name or type. Does one of the two databases have changes that no "
            "migration made, or was one migrated during the move? Bring both to the same migrations; after --abort, "
            "the move begins anew."
        )
    unnumbered = [
        f"{table.name}.{column}"
        for table in tables
        if table.name not in other
        for column, _ in sequences.of_table(source, table)
        if column not in dict(sequences.of_table(target, table))
    ]
    if unnumbered:
        yield f"{', '.join(unnumbered)}: filled by a sequence in {address(source)}, and not in {address(target)}."


def of_others_rows(target: BaseDatabaseWrapper, context: str) -> Iterator[str]:
    """Yield the tables of others in which somebody has written, in a database that should hold those of one context."""
    if found := elsewhere.filled(target, context):
        have = ", ".join(f"{name} has {number} rows" for name, number in found.items())
        yield (
            f"{have} in {address(target)}, where nobody reads them. If they were written there since the move, they are "
            "missing where the others work: take them there. Then empty these tables, and run this again."
        )


def of_only_copy(target: BaseDatabaseWrapper, tables: Sequence[Table], move: ContextMove) -> Iterator[str]:
    """Yield the reasons why the old rows may be the only ones left."""
    there = {table.name: table for table in tables if table.columns}
    empty = [
        f"{name} is empty in {address(target)}, although {number} rows were moved there"
        for name, number in move.counts.items()
        if number and (name not in there or not count(target, there[name]))
    ]
    if empty:
        yield f"{'; '.join(empty)}. Is it the database in which the context works? Nothing was dropped."


def was_left(target: BaseDatabaseWrapper, context: str) -> bool:
    """Return True if the context moved away from the target: it then moves back, and its old rows are replaced."""
    table = ContextMove._meta.db_table
    if table not in target.introspection.table_names():
        return False
    return ContextMove.objects.using(target.alias).filter(pk=context, step__in=AWAY).exists()


def _is_untidy(target: BaseDatabaseWrapper, context: str) -> bool:
    """Return True if a move away from the target still has to tidy up there."""
    if not was_left(target, context):
        return False
    return not ContextMove.objects.using(target.alias).filter(pk=context, step__in=DONE).exists()


def _of_mode(source: BaseDatabaseWrapper, context: str) -> Iterator[str]:
    if context not in conf.contexts():
        return
    setting = switch.settings()[context]
    if setting != switch.Setting(Mode.LIVE, 100):
        yield (
            f"{context} is {setting}: the monolith still does some of its steps, in this database. Make it live for all "
            "flows first."
        )
        return
    since = ContextMode.objects.get(pk=context).changed_at
    older = rows(
        source,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND xact_start < %s"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        [since],
    )
    if older:
        pids = ", ".join(str(pid) for (pid,) in older)
        yield f"Transactions that began before {context} went live are still open (pid {pids}). Let them end."


def _of_models(context: str) -> Iterator[str]:
    own = set(models_of(context))
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.get_fields():
            if not (isinstance(field, models.ForeignKey) and field.model is model):
                continue
            if (model in own) != (field.remote_field.model in own):
                yield (
                    f"{field} is a foreign key to {field.remote_field.model._meta.label}, across the border of "
                    f"{context}. Make it a plain id."
                )


def _of_references(connection: BaseDatabaseWrapper, context: str) -> Iterator[str]:
    own = {model._meta.db_table for model in models_of(context)}
    across = [
        f"{name} from {referring} to {referred}"
        for name, referring, referred in references(connection)
        if (referring in own) != (referred in own)
    ]
    if across:
        keys = "the foreign key" if len(across) == 1 else "the foreign keys"
        drop = "it" if len(across) == 1 else "them"
        yield (
            f"{address(connection)} has {keys} {', '.join(across)}, across the border of {context}. "
            f"Drop {drop} by a migration."
        )


def _of_generic_keys(context: str) -> Iterator[str]:
    for model in models_of(context):
        for field in model._meta.private_fields:
            if hasattr(field, "ct_field"):
                yield (
                    f"{model._meta.label}.{field.name} is a GenericForeignKey; the ids of content types differ between "
                    "databases. Make it a plain id beside a name."
                )


def _filled(connection: BaseDatabaseWrapper) -> list[str]:
    names = set(connection.introspection.table_names()) - _FILLED_BY_DJANGO
    names -= _FILLED_BY_WORKERS | _FILLED_BY_MOVES
    return sorted(
        name for name in names if rows(connection, SQL("SELECT 1 FROM {} LIMIT 1").format(Identifier(name)))
    )
