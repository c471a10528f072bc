"""An index of the timers by the time at which they are due; theirs do not lie among the entries of what waits for the relay."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_CONTEXT = {
    "postgresql": "split_part(destination, '.', 1)",
    "sqlite": "substr(destination, 1, instr(destination, '.') - 1)",
}
_INDEX = "CREATE INDEX microworkflows_unrelayed ON published (status, id) WHERE {condition}"
_DROP = "DROP INDEX microworkflows_unrelayed"


def _create(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _lock(schema_editor)
    context = _CONTEXT[schema_editor.connection.vendor]
    for statement in (
        _DROP,
        _INDEX.format(condition="status IN (1, 3, 4)"),
        f"CREATE INDEX microworkflows_scheduled ON published ({context}, expires_at) WHERE status = 5",
    ):
        schema_editor.execute(statement)


def _drop(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _lock(schema_editor)
    for statement in (
        "DROP INDEX microworkflows_scheduled",
        _DROP,
        _INDEX.format(condition="status <> 2"),
    ):
        schema_editor.execute(statement)


def _lock(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take the strongest lock first; the migration of the inbox's keys says why."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("LOCK TABLE published IN ACCESS EXCLUSIVE MODE")


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0010_one_index_of_unrelayed")]

    operations = [migrations.RunPython(_create, _drop, elidable=False)]
