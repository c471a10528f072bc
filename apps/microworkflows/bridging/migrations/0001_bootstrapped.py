"""The marks of the rows of the past that were recorded."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Bootstrapped",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        help_text="Made of the type, the context and the row's key.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("event_type", models.CharField(max_length=255)),
                (
                    "only_for",
                    models.CharField(
                        blank=True, help_text="Label of a context; empty: every one.", max_length=255
                    ),
                ),
                ("run", models.UUIDField(help_text="The run of the command that recorded it.")),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["event_type", "only_for"], name="microworkflows_bootstrapped")
                ],
                "default_permissions": (),
            },
        ),
    ]
