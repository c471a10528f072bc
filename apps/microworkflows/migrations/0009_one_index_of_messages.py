"""One unique index of the inbox's keys in place of two on PostgreSQL; SQLite has one."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# The strongest lock that is to come, at once: who gets a weaker one first, may meet a worker who has one as well, and
# neither goes on. For the same reason no transaction of these migrations locks two tables.
_LOCK = "LOCK TABLE received IN ACCESS EXCLUSIVE MODE"
_INDEX = "microworkflows_message"


def _replace(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(_LOCK)
    with schema_editor.connection.cursor() as cursor:
        of_library = schema_editor.connection.introspection.get_constraints(cursor, "received")
    # It finds equal keys as well as those that begin alike, and ON CONFLICT (msg_id) takes it.
    schema_editor.execute(f"CREATE UNIQUE INDEX {_INDEX} ON received (msg_id varchar_pattern_ops)")
    for name, each in of_library.items():
        if each["columns"] == ["msg_id"]:
            drop = "ALTER TABLE received DROP CONSTRAINT" if each["unique"] else "DROP INDEX"
            schema_editor.execute(f'{drop} "{name}"')


def _restore(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    for statement in (
        _LOCK,
        "ALTER TABLE received ADD CONSTRAINT received_msg_id_b112b413_uniq UNIQUE (msg_id)",
        "CREATE INDEX received_msg_id_b112b413_like ON received (msg_id varchar_pattern_ops)",
        f"DROP INDEX {_INDEX}",
    ):
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0008_declared_bindings")]

    operations = [migrations.RunPython(_replace, _restore, elidable=False)]
