"""Holds: what is paused, by whom and why."""

from django.db import migrations, models

import microworkflows.ids


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows", "0011_scheduled"),
    ]

    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=microworkflows.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "context"), (2, "microworkflow"), (3, "flow")]
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Label of the context or microworkflow, or correlation id of the flow.",
                        max_length=255,
                    ),
                ),
                ("began_at", models.DateTimeField()),
                (
                    "ends_at",
                    models.DateTimeField(
                        help_text="When it ends by itself; null: somebody resumes it.", null=True
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(help_text="When somebody resumed it; null: nobody did.", null=True),
                ),
                ("by", models.CharField(help_text="Name of the person who paused it.", max_length=255)),
                ("why", models.TextField(help_text="The reason that they gave.")),
                (
                    "ended_by",
                    models.CharField(
                        blank=True, help_text="Name of the person who resumed it.", max_length=255
                    ),
                ),
            ],
            options={
                "db_table": "microworkflows_hold",
                "default_permissions": (),
                "indexes": [models.Index(fields=["ended_at"], name="microworkflows_hold_ended")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at", None)),
                        fields=("kind", "name"),
                        name="microworkflows_one_hold",
                    )
                ],
            },
        ),
    ]
