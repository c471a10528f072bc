"""An index for the journey of a flow that other services recorded in part: their events are only in the inbox."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_CORRELATION = {
    "postgresql": "(body ->> 'correlationid')",
    "sqlite": "json_extract(body, '$.correlationid')",
}


def _create_index(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    correlation = _CORRELATION[schema_editor.connection.vendor]
    schema_editor.execute(f"CREATE INDEX microworkflows_received_flow ON received ({correlation})")


def _drop_index(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("DROP INDEX IF EXISTS microworkflows_received_flow")


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0001_initial")]

    operations = [migrations.RunPython(_create_index, _drop_index, elidable=False)]
