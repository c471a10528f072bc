"""What a migration that ``manage.py loosen`` writes does: a foreign key becomes an id, and back; column, rows and index stay."""

from typing import Any

from django.db import NotSupportedError, transaction
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import ForeignKey, Model
from django.db.utils import IntegrityError

from microworkflows import lock_turns
from microworkflows.bridging import dangling
from microworkflows.errors import MicroworkflowsError

Editor = Any
"""A schema editor; the stubs leave out what its own operations use of it."""

LONGEST_TURN = 2.0
"""Most seconds for which one attempt waits for its locks, and others wait behind it."""
PATIENCE = 45.0
"""Seconds for which it tries to get the locks, in short turns."""


class DanglingIdsError(MicroworkflowsError):
    """A foreign key cannot be put back, because ids name rows that are not there."""


class TableInUseError(MicroworkflowsError):
    """Others used the tables of a key, time and again."""


class LoosenForeignKey(SeparateDatabaseAndState):
    """Turn a foreign key into a plain field on the same column; backwards, put it back and check every row.

    In PostgreSQL, each attempt to get the locks is short, and what is put back is validated while others write.

    Args:
        model_name: Name of the model that has the key.
        name: Name of the key.
        to: Label of the model that it names, such as ``customers.Customer``.
        state_operations: Operations that bring the migrations' picture of the model up to date.
    """

    atomic = False

    def __init__(self, model_name: str, name: str, to: str, state_operations: list[Operation]) -> None:
        super().__init__(state_operations=state_operations)
        self.model_name = model_name
        self.name = name
        self.to = to

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        """Return what the migration's text says."""
        arguments = {
            "model_name": self.model_name,
            "name": self.name,
            "to": self.to,
            "state_operations": self.state_operations,
        }
        return type(self).__qualname__, [], arguments

    def database_forwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop the constraint."""
        bound, loose = self._models(app_label, from_state, to_state)
        if not self.allow_migrate_model(schema_editor.connection.alias, bound):
            return
        if _is_postgresql(schema_editor):
            for constraint in self._constraints(schema_editor, bound):
                dropped = str(schema_editor._delete_fk_sql(bound, constraint))  # noqa: SLF001
                _patiently(schema_editor, dropped, model=bound)
        else:
            with transaction.atomic(using=schema_editor.connection.alias):
                schema_editor._remake_table(loose)  # noqa: SLF001  (as Django's own operations on SQLite)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: Editor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Put the constraint back.

        Raises:
            DanglingIdsError: ids name rows that are not there.
        """
        bound, _ = self._models(app_label, to_state, from_state)
        if not self.allow_migrate_model(schema_editor.connection.alias, bound):
            return
        self._refuse_dangling(schema_editor, bound)
        if not _is_postgresql(schema_editor):
            with transaction.atomic(using=schema_editor.connection.alias):
                schema_editor._remake_table(bound)  # noqa: SLF001
            return
        if not (names := self._constraints(schema_editor, bound)):  # there if an earlier attempt went so far
            key = self._key(bound)
            suffix = "_fk_%(to_table)s_%(to_column)s"
            added = f"{schema_editor._create_fk_sql(bound, key, suffix)} NOT VALID"  # noqa: SLF001
            _patiently(schema_editor, added, model=bound)
            names = self._constraints(schema_editor, bound)
        table = schema_editor.quote_name(bound._meta.db_table)
        for constraint in names:
            try:
                schema_editor.execute(
                    f"ALTER TABLE {table} VALIDATE CONSTRAINT {schema_editor.quote_name(constraint)}"
                )
            except IntegrityError:
                self._refuse_dangling(schema_editor, bound)
                raise

    def describe(self) -> str:
        """Return what the operation does, for people."""
        return f"Loosen the foreign key {self.name} of {self.model_name}: it becomes an id"

    @property
    def migration_name_fragment(self) -> str:
        """Return the part of the migration's name that stands for it."""
        return f"loosen_{self.model_name.lower()}_{self.name}"

    def _models(
        self, app_label: str, bound: ProjectState, loose: ProjectState
    ) -> tuple[type[Model], type[Model]]:
        return (
            bound.apps.get_model(app_label, self.model_name),
            loose.apps.get_model(app_label, self.model_name),
        )

    def _key(self, bound: type[Model]) -> ForeignKey[Any, Any]:
        key = bound._meta.get_field(self.name)
        assert isinstance(key, ForeignKey)
        return key

    def _constraints(self, schema_editor: Editor, bound: type[Model]) -> list[str]:
        column = self._key(bound).column
        found: list[str] = schema_editor._constraint_names(bound, [column], foreign_key=True)  # noqa: SLF001
        return found

    def _refuse_dangling(self, schema_editor: Editor, bound: type[Model]) -> None:
        alias, key = schema_editor.connection.alias, self._key(bound)
        found = dangling.find(
            bound, key.attname, to=key.related_model, field=key.target_field.name, using=alias
        )
        if found.rows:
            raise DanglingIdsError(
                f"{bound._meta.label}.{self.name} cannot be a foreign key again: {found}. Nothing was changed. Delete or mend "
                "these rows, and migrate again."
            )


def _is_postgresql(schema_editor: Editor) -> bool:
    vendor = schema_editor.connection.vendor
    if vendor not in ("postgresql", "sqlite"):
        raise NotSupportedError(f"A key is loosened in PostgreSQL and SQLite only; this is {vendor}.")
    return bool(vendor == "postgresql")


def _patiently(schema_editor: Editor, statement: str, *, model: type[Model]) -> None:
    """Execute a statement that locks two tables, in short turns: while it waits, everybody else waits behind it."""

    def turn(limit: str) -> None:
        schema_editor.execute(limit)
        schema_editor.execute(statement, params=None)

    table = model._meta.db_table
    try:
        lock_turns.take(schema_editor.connection, turn, what=table, longest=LONGEST_TURN, patience=PATIENCE)
    except lock_turns.NoLockError as error:
        raise TableInUseError(
            f"{table}, or the table that its key names, was in use for {PATIENCE:g} s. Nothing was changed. Look for long "
            "transactions (pg_stat_activity), and migrate again."
        ) from error
