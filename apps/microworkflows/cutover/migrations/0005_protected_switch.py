"""What protects the switch: what spoke against a change, when a context goes back by itself, and events that were missed."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows_cutover", "0004_moves"),
    ]

    operations = [
        migrations.AddField(
            model_name="contextmode",
            name="return_at",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Of a live context: number of failing messages of its live flows at which it goes back to inline by itself.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="modechange",
            name="although",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="What spoke against it, and was known: a sentence on each line.",
            ),
        ),
        migrations.CreateModel(
            name="MissedEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        help_text="Its type; or its class, or the function that was to make it.",
                        max_length=200,
                    ),
                ),
                ("error", models.TextField()),
                ("correlation_id", models.TextField(blank=True, help_text="The flow, where that is known.")),
                ("missed_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["-pk"],
                "default_permissions": ("view", "delete"),
                "indexes": [models.Index(fields=["missed_at"], name="microworkflows_cutover_missed")],
            },
        ),
    ]
