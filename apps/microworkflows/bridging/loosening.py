"""Loosening: writes the migration by which a foreign key becomes an id, and says what to write in the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models, router
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterUniqueTogether,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.serializer import serializer_factory
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter

from microworkflows.bridging.operations import LoosenForeignKey
from microworkflows.errors import MicroworkflowsError

_NOT_ATOMIC = (
    "    atomic = False  # locks are held for moments, and what is put back is checked while others write\n\n"
)


class UnloosenableKeyError(MicroworkflowsError):
    """A key cannot be loosened as it is."""


@dataclass(frozen=True, kw_only=True)
class Loosened:
    """A migration that loosens a key, and what goes with it."""

    path: Path
    text: str
    line: str
    """The field's new line in the model."""
    replaced: list[str]
    """Constraints and indexes of the model in whose lists the field's name changes."""


def loosen(app_label: str, model_name: str, name: str) -> Loosened:
    """Return the migration that loosens a foreign key.

    Raises:
        UnloosenableKeyError: there is no such key, or something names it that has to be changed first.
    """
    loader = MigrationLoader(None)
    if app_label not in loader.migrated_apps:
        raise UnloosenableKeyError(
            f"The app {app_label} has no migrations. Run makemigrations {app_label} first."
        )
    leaves = loader.graph.leaf_nodes(app_label)
    if len(leaves) != 1:
        raise UnloosenableKeyError(
            f"The migrations of {app_label} have several ends: {', '.join(each for _, each in leaves)}. Run makemigrations "
            "--merge first."
        )
    state = loader.project_state()
    key = _key(state, app_label, model_name, name)
    field = plain(key)
    model: Any = key.model
    operations: list[Operation] = [
        *_without(model, key),
        RemoveField(model_name=model._meta.model_name, name=name),
        AddField(model_name=model._meta.model_name, name=key.attname, field=field),
        *_with(model, key),
    ]
    operation = LoosenForeignKey(
        model_name=model._meta.model_name,
        name=name,
        to=key.related_model._meta.label,
        state_operations=operations,
    )
    _refuse_what_still_names_it(state, app_label, operation, key)
    number = f"{int(leaves[0][1][:4]) + 1:04}" if leaves[0][1][:4].isdigit() else "0001"
    kind = type("Migration", (Migration,), {"dependencies": list(leaves), "operations": [operation]})
    migration = kind(f"{number}_{operation.migration_name_fragment}"[:100], app_label)
    writer = MigrationWriter(migration, include_header=False)
    head = "class Migration(migrations.Migration):\n"
    return Loosened(
        path=Path(writer.path),
        text=writer.as_string().replace(f"{head}\n", f"{head}{_NOT_ATOMIC}", 1),
        line=f"{key.attname} = {serializer_factory(field).serialize()[0]}",
        replaced=[each.name for each in (*_constraints(model, key), *_indexes(model, key))],
    )


def plain(key: Any) -> "models.Field[Any, Any]":
    """Return the field that holds a foreign key's ids: of the type of what they name, on the same column, with its index."""
    target: Any = key.target_field
    while target.remote_field:
        target = target.target_field
    _, _, _, given = target.deconstruct()
    kept = {name: given[name] for name in ("max_length", "max_digits", "decimal_places") if name in given}
    _, _, _, own = key.deconstruct()
    kept |= {name: own[name] for name in ("null", "blank", "default", "editable", "help_text") if name in own}
    if key.column != key.attname:
        kept["db_column"] = key.column
    if key.unique:
        kept["unique"] = True
    elif key.db_index:
        kept["db_index"] = True
    made: models.Field[Any, Any] = _class_of(target)(**kept)
    return made


def _class_of(target: Any) -> Any:
    """Return the class of a field for another's values: what counts up or is positive in one table is a number in others."""
    for automatic, number in (
        (models.BigAutoField, models.BigIntegerField),
        (models.SmallAutoField, models.SmallIntegerField),
        (models.AutoField, models.IntegerField),
        (models.PositiveBigIntegerField, models.BigIntegerField),
        (models.PositiveSmallIntegerField, models.SmallIntegerField),
        (models.PositiveIntegerField, models.IntegerField),
    ):
        if isinstance(target, automatic):
            return number
    return type(target)


def _key(state: ProjectState, app_label: str, model_name: str, name: str) -> "models.ForeignKey[Any, Any]":
    try:
        model = state.apps.get_model(app_label, model_name)
        key = model._meta.get_field(name)
    except LookupError as error:
        raise UnloosenableKeyError(f"By its migrations, {app_label} has no such model: {error}") from error
    except FieldDoesNotExist as error:
        raise UnloosenableKeyError(f"By its migrations, {error}.") from error
    if not isinstance(key, models.ForeignKey):
        raise UnloosenableKeyError(
            f"{app_label}.{model_name}.{name} is a {type(key).__name__}, no foreign key."
        )
    if key.primary_key:
        raise UnloosenableKeyError(
            f"{app_label}.{model_name}.{name} is the primary key of its model (or its link to a parent model). Give the model a key "
            "of its own first."
        )
    return key


def _constraints(model: Any, key: "models.ForeignKey[Any, Any]") -> Iterator[Any]:
    """Yield the constraints that name the key in their list of fields."""
    for each in model._meta.constraints:
        if key.name in (*getattr(each, "fields", ()), *getattr(each, "include", ())):
            yield each


def _indexes(model: Any, key: "models.ForeignKey[Any, Any]") -> Iterator[models.Index]:
    for each in model._meta.indexes:
        if {key.name, f"-{key.name}"} & {*each.fields, *each.include}:
            yield each


def _without(model: Any, key: "models.ForeignKey[Any, Any]") -> Iterator[Operation]:
    """Yield the operations that take away whatever names the key in a list."""
    name = model._meta.model_name
    for constraint in _constraints(model, key):
        yield RemoveConstraint(model_name=name, name=constraint.name)
    for index in _indexes(model, key):
        yield RemoveIndex(model_name=name, name=index.name)
    if any(key.name in together for together in model._meta.unique_together):
        yield AlterUniqueTogether(name=name, unique_together=_others(model, key))


def _with(model: Any, key: "models.ForeignKey[Any, Any]") -> Iterator[Operation]:
    """Yield the operations that put it back with the name of the plain field."""
    name = model._meta.model_name
    for constraint in _constraints(model, key):
        yield AddConstraint(model_name=name, constraint=_renamed(constraint, key))
    for index in _indexes(model, key):
        yield AddIndex(model_name=name, index=_renamed(index, key))
    if any(key.name in together for together in model._meta.unique_together):
        together = {tuple(_new(each, key) for each in group) for group in model._meta.unique_together}
        yield AlterUniqueTogether(name=name, unique_together=together)


def _others(model: Any, key: "models.ForeignKey[Any, Any]") -> set[tuple[str, ...]]:
    return {tuple(group) for group in model._meta.unique_together if key.name not in group}


def _renamed(named: Any, key: "models.ForeignKey[Any, Any]") -> Any:
    _, arguments, given = named.deconstruct()
    lists = {
        name: [_new(each, key) for each in given[name]] for name in ("fields", "include") if given.get(name)
    }
    return type(named)(*arguments, **{**given, **lists})


def _new(field: str, key: "models.ForeignKey[Any, Any]") -> str:
    renamed = {key.name: key.attname, f"-{key.name}": f"-{key.attname}"}
    return renamed.get(field, field)


def _refuse_what_still_names_it(
    state: ProjectState, app_label: str, operation: LoosenForeignKey, key: "models.ForeignKey[Any, Any]"
) -> None:
    """Refuse if the model would be wrong afterwards, such as one whose condition or ordering goes by way of the key."""
    after = state.clone()
    operation.state_forwards(app_label, after)
    model = after.apps.get_model(app_label, key.model.__name__)
    alias = [router.db_for_write(key.model)]  # a condition is checked for a database alone
    before = {str(each.msg) for each in key.model.check(databases=alias)}
    if wrong := [each for each in model.check(databases=alias) if str(each.msg) not in before]:
        told = " ".join(f"{each.msg}" for each in wrong)
        raise UnloosenableKeyError(
            f"Without the foreign key, {key.model._meta.label} would be wrong: {told} Change that first, in a migration of its own."
        )
