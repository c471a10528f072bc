"""Rates of the microworkflows that limit them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows", "0013_hold_permissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="RunRate",
            fields=[
                ("label", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("given_until", models.DateTimeField(help_text="Time up to which runs are given out.")),
                (
                    "last_turn",
                    models.DateTimeField(help_text="Time of the last turn that a waiting message was given."),
                ),
            ],
            options={
                "db_table": "microworkflows_runrate",
                "default_permissions": (),
            },
        ),
    ]
