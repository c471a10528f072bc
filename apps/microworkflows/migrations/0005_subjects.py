"""Indexes by which people find the flow of an object: of the rows that begin a flow about one, and of no others."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_KEY = {"postgresql": "(headers #>> '{subject,key}')", "sqlite": "json_extract(headers, '$.subject.key')"}
_NAME = {"postgresql": "(headers #>> '{subject,name}')", "sqlite": "json_extract(headers, '$.subject.name')"}


def _create_indexes(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    vendor = schema_editor.connection.vendor
    for part, indexed in (("key", _KEY[vendor]), ("name", f"lower({_NAME[vendor]})")):
        schema_editor.execute(
            f"CREATE INDEX microworkflows_subject_{part} ON published ({indexed}) WHERE {indexed} IS NOT NULL"
        )


def _drop_indexes(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for part in ("key", "name"):
        schema_editor.execute(f"DROP INDEX IF EXISTS microworkflows_subject_{part}")


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0004_heartbeat")]

    operations = [migrations.RunPython(_create_indexes, _drop_indexes, elidable=False)]
