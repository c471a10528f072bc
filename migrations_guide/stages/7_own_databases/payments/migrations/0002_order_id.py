from django.db import migrations, models


class Migration(migrations.Migration):
    """The foreign key to the order becomes the order's id: the constraint goes, the column stays as it is."""

    dependencies = [
        ("payments", "0001_initial"),
    ]

    operations = [
        # In the database this drops the constraint, and adds it again on the way back.
        migrations.AlterField("payment", "order", models.UUIDField(db_column="order_id", unique=True)),
        # From here on only Django's own idea of it changes.
        migrations.RenameField("payment", "order", "order_id"),
        migrations.AlterField(
            "payment",
            "order_id",
            models.UUIDField(
                "order id", help_text="The order that it pays; orders owns the id.", unique=True
            ),
        ),
    ]
