"""Proxies of django-outbox-pattern's models, and the indexes that keep relay, retries and journeys fast."""

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_CONTEXT = {
    "postgresql": "split_part(destination, '.', 1)",
    "sqlite": "substr(destination, 1, instr(destination, '.') - 1)",
}
_CORRELATION = {
    "postgresql": "(body ->> 'correlationid')",
    "sqlite": "json_extract(body, '$.correlationid')",
}

# Not "status = 1": the library's own index has that, and PostgreSQL would use it while its statistics date from a time
# with few pending rows; in a long backlog, each batch would then read and sort all of it. The relay's SQL says the same.
_PENDING = "status + 0 = 1"


def _create_indexes(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    vendor = schema_editor.connection.vendor
    if vendor not in _CONTEXT:
        raise NotImplementedError(
            f"The database is {vendor}; microworkflows runs on PostgreSQL and SQLite. Set DATABASES accordingly."
        )
    for statement in (
        f"CREATE INDEX microworkflows_pending ON published ({_CONTEXT[vendor]}, id) WHERE {_PENDING}",
        "CREATE INDEX microworkflows_unheard ON published (id) WHERE status = 3",
        f"CREATE INDEX microworkflows_flow ON published ({_CORRELATION[vendor]})",
        "CREATE INDEX microworkflows_waiting ON received (expires_at) WHERE status = 1",
        "CREATE INDEX microworkflows_parked ON received (added) WHERE status = -1",
    ):
        schema_editor.execute(statement)


def _drop_indexes(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for name in ("pending", "unheard", "flow", "waiting", "parked"):
        schema_editor.execute(f"DROP INDEX IF EXISTS microworkflows_{name}")


class Migration(migrations.Migration):
    initial = True

    dependencies = [("django_outbox_pattern", "0006_published_published_status_27c9ec_btree")]

    operations = [
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[],
            options={
                "verbose_name": "outbox event",
                "permissions": [("relay_outboxevent", "Can relay unheard events again")],
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("django_outbox_pattern.published",),
        ),
        migrations.CreateModel(
            name="InboxEvent",
            fields=[],
            options={
                "verbose_name": "inbox event",
                "permissions": [("replay_inboxevent", "Can replay parked messages")],
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("django_outbox_pattern.received",),
        ),
        migrations.RunPython(_create_indexes, _drop_indexes, elidable=False),
    ]
