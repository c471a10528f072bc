"""The tables of the problems: what is noted of them, and their replays with the messages."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Problem",
            fields=[
                ("fingerprint", models.CharField(max_length=16, primary_key=True, serialize=False)),
                (
                    "assigned_to",
                    models.CharField(blank=True, help_text="Name of a user; empty: nobody.", max_length=255),
                ),
                ("assigned_at", models.DateTimeField()),
            ],
            options={
                "permissions": [("assign_problem", "Can assign problems to users")],
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Replay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fingerprint", models.CharField(max_length=16)),
                (
                    "context",
                    models.CharField(
                        help_text="Label of the context whose relay goes on with it.", max_length=255
                    ),
                ),
                ("by", models.CharField(max_length=255)),
                ("why", models.TextField(blank=True)),
                (
                    "per_second",
                    models.PositiveIntegerField(help_text="Most messages that it brings back in a second."),
                ),
                ("began_at", models.DateTimeField()),
                (
                    "advanced_at",
                    models.DateTimeField(
                        help_text="Up to when its pace is used up, on the database's clock."
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        help_text="When nothing was left to do, or somebody stopped it.", null=True
                    ),
                ),
                ("stopped_by", models.CharField(blank=True, max_length=255)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["fingerprint", "began_at"], name="mw_problems_replay_of"),
                    models.Index(fields=["ended_at"], name="mw_problems_replay_ended"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("fingerprint",),
                        name="microworkflows_problems_one_replay",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReplayedMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("msg_id", models.CharField(help_text="Key of the message in the inbox.", max_length=100)),
                (
                    "outcome",
                    models.PositiveSmallIntegerField(
                        choices=[
                            (0, "still to come"),
                            (1, "on its way"),
                            (2, "handled"),
                            (3, "failed again"),
                            (4, "left alone"),
                        ],
                        default=0,
                    ),
                ),
                (
                    "replay",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="microworkflows_problems.replay",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["replay", "outcome", "id"], name="mw_problems_message_outcome")
                ],
            },
        ),
    ]
