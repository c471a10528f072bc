"""The table of the workers' heartbeats."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0003_dead_letters")]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("queue", models.CharField(max_length=255)),
                (
                    "worker",
                    models.CharField(help_text="Celery's name of it, such as payments@host.", max_length=255),
                ),
                ("host", models.CharField(max_length=255)),
                ("pid", models.PositiveBigIntegerField(help_text="Of the worker's parent process.")),
                ("started_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                (
                    "stopped_at",
                    models.DateTimeField(
                        help_text="When it stopped consuming, if it was told to.", null=True
                    ),
                ),
                (
                    "handling",
                    models.PositiveIntegerField(
                        help_text="Messages in the hands of its processes, of all its queues."
                    ),
                ),
                (
                    "depth",
                    models.PositiveBigIntegerField(
                        help_text="Messages that waited in the queue; null: unknown.", null=True
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("queue", "worker"), name="microworkflows_one_heartbeat")
                ],
            },
        ),
    ]
