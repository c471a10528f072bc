from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("microworkflows_journal", "0003_flow_need"),
    ]

    operations = [
        migrations.AddField(
            model_name="event",
            name="versions",
            field=models.JSONField(
                help_text="Types of a fact that was recorded in several versions, the newest first; null: the one type.",
                null=True,
            ),
        ),
    ]
