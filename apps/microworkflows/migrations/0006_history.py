"""The history of messages that failed, the permission to dismiss them, and an index by which failures of one cause are found."""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import microworkflows.ids

_FINGERPRINT = {
    "postgresql": "(headers ->> 'fingerprint')",
    "sqlite": "json_extract(headers, '$.fingerprint')",
}


def _create_index(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    fingerprint = _FINGERPRINT[schema_editor.connection.vendor]
    schema_editor.execute(
        f"CREATE INDEX microworkflows_problem ON received ({fingerprint}, added) WHERE status IN (-1, 1)"
    )


def _drop_index(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute("DROP INDEX IF EXISTS microworkflows_problem")


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows", "0005_subjects"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="inboxevent",
            options={
                "permissions": [
                    ("replay_inboxevent", "Can replay parked messages"),
                    ("dismiss_inboxevent", "Can dismiss parked messages"),
                ],
                "verbose_name": "inbox event",
            },
        ),
        migrations.CreateModel(
            name="HistoryEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=microworkflows.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("msg_id", models.CharField(help_text="Key of the message in the inbox.", max_length=100)),
                (
                    "kind",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "failed"), (2, "parked"), (3, "replayed"), (4, "dismissed")]
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "fingerprint",
                    models.CharField(
                        help_text="Of the failure, or of the one before the intervention.", max_length=16
                    ),
                ),
                (
                    "attempt",
                    models.PositiveIntegerField(
                        help_text="Number of the attempt since the last replay; null: none was made.",
                        null=True,
                    ),
                ),
                (
                    "duration",
                    models.FloatField(help_text="Of the attempt, in seconds; null: unknown.", null=True),
                ),
                ("error", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                (
                    "worker",
                    models.CharField(
                        blank=True, help_text="Name of the worker, such as payments@host.", max_length=255
                    ),
                ),
                (
                    "by",
                    models.CharField(
                        blank=True, help_text="Name of the person who intervened.", max_length=255
                    ),
                ),
                ("why", models.TextField(blank=True, help_text="The reason that they gave.")),
            ],
            options={
                "db_table": "microworkflows_history",
                "verbose_name": "history entry",
                "verbose_name_plural": "history entries",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["msg_id", "id"], name="microworkflows_history_msg_id"),
                    models.Index(fields=["fingerprint", "at", "kind"], name="microworkflows_history_problem"),
                ],
            },
        ),
        migrations.RunPython(_create_index, _drop_index, elidable=False),
    ]
