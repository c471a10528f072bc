"""One index of the events that are not relayed in place of two: the library's of every status, and that of the unheard."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_UNRELAYED = "CREATE INDEX microworkflows_unrelayed ON published (status, id) WHERE status <> 2"
_UNHEARD = "CREATE INDEX microworkflows_unheard ON published (id) WHERE status = 3"
_OF_LIBRARY = "CREATE INDEX published_status_27c9ec_btree ON published (status)"


def _replace(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _lock(schema_editor)
    for statement in (
        _UNRELAYED,
        "DROP INDEX IF EXISTS microworkflows_unheard",
        "DROP INDEX IF EXISTS published_status_27c9ec_btree",
    ):
        schema_editor.execute(statement)


def _restore(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _lock(schema_editor)
    for statement in (_OF_LIBRARY, _UNHEARD, "DROP INDEX microworkflows_unrelayed"):
        schema_editor.execute(statement)


def _lock(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take the strongest lock first; the migration before says why."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("LOCK TABLE published IN ACCESS EXCLUSIVE MODE")


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0009_one_index_of_messages")]

    operations = [migrations.RunPython(_replace, _restore, elidable=False)]
