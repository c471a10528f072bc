"""Permissions to see pauses in the admin, and to pause and resume there."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows", "0012_holds"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="hold",
            options={
                "default_permissions": ("view",),
                "permissions": [("pause_hold", "Can pause and resume")],
                "verbose_name": "pause",
            },
        ),
    ]
