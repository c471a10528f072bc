import django.core.serializers.json
import django.core.validators
from django.db import migrations, models

import microworkflows.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="ContextMove",
            fields=[
                ("context", models.CharField(max_length=100, primary_key=True, serialize=False)),
                (
                    "target",
                    models.CharField(help_text="URL of the database, without the password.", max_length=500),
                ),
                ("step", models.CharField(max_length=20)),
                ("started_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                ("counts", models.JSONField(default=dict, help_text="Rows by table, as they were copied.")),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="WorkerPresence",
            fields=[
                ("queue", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=200)),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ContextMode",
            fields=[
                ("context", models.CharField(max_length=100, primary_key=True, serialize=False)),
                (
                    "mode",
                    models.CharField(
                        choices=[("inline", "inline"), ("shadow", "shadow"), ("live", "live")],
                        default="inline",
                        max_length=6,
                    ),
                ),
                (
                    "percent",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Of a live context: how many of a hundred flows it does; the others are done inline.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "context",
                "verbose_name_plural": "contexts",
                "ordering": ["context"],
                "default_permissions": ("view", "change"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("mode", "live"), ("percent__gte", 1), ("percent__lte", 100)),
                            models.Q(("mode__in", ["inline", "shadow"]), ("percent__isnull", True)),
                            _connector="OR",
                        ),
                        name="microworkflows_cutover_percent_when_live",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ModeChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("context", models.CharField(max_length=100)),
                (
                    "from_mode",
                    models.CharField(
                        choices=[("inline", "inline"), ("shadow", "shadow"), ("live", "live")], max_length=6
                    ),
                ),
                ("from_percent", models.PositiveSmallIntegerField(null=True)),
                (
                    "to_mode",
                    models.CharField(
                        choices=[("inline", "inline"), ("shadow", "shadow"), ("live", "live")], max_length=6
                    ),
                ),
                ("to_percent", models.PositiveSmallIntegerField(null=True)),
                ("why", models.CharField(max_length=500)),
                ("changed_by", models.CharField(max_length=150)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-pk"],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["context", "-id"], name="microworkflows_cutover_changes")],
            },
        ),
        migrations.CreateModel(
            name="ShadowComparison",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=microworkflows.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("workflow", models.CharField(help_text="Label of the microworkflow.", max_length=200)),
                ("event_id", models.UUIDField()),
                ("event_type", models.CharField(max_length=200)),
                ("correlation_id", models.TextField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("agreed", "agreed"),
                            ("differs", "differs"),
                            ("failed", "failed"),
                            ("refused", "refused"),
                        ],
                        max_length=7,
                    ),
                ),
                (
                    "differences",
                    models.JSONField(
                        default=list,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        help_text="A list of objects with what, legacy and shadow; empty when they agreed.",
                    ),
                ),
                ("legacy_microseconds", models.PositiveBigIntegerField()),
                ("shadow_microseconds", models.PositiveBigIntegerField()),
                ("compared_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-pk"],
                "default_permissions": ("view", "delete"),
                "indexes": [
                    models.Index(fields=["workflow", "outcome"], name="microworkflows_cutover_agreed"),
                    models.Index(fields=["correlation_id"], name="microworkflows_cutover_flow"),
                    models.Index(fields=["compared_at"], name="microworkflows_cutover_age"),
                ],
            },
        ),
    ]
