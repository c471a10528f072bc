"""The record of the bindings that processes have declared at the broker."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("microworkflows", "0007_purges_and_erasures")]

    operations = [
        migrations.CreateModel(
            name="DeclaredBinding",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("exchange", models.CharField(max_length=255)),
                ("queue", models.CharField(max_length=255)),
                ("routing_key", models.CharField(max_length=255)),
                ("since", models.DateTimeField(help_text="When a process declared it first.")),
                (
                    "declared_at",
                    models.DateTimeField(
                        help_text="When a process declared it last; one that lives does every minute."
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("exchange", "queue", "routing_key"), name="microworkflows_one_binding"
                    )
                ],
            },
        ),
    ]
