from django.db import migrations, models


class Migration(migrations.Migration):
    """The foreign keys to the order become the order's id: the constraints go, the columns stay as they are."""

    # Each constraint in a transaction of its own. All in one would hold the orders' table while it waits for shipping's
    # second one, which its worker locks first: PostgreSQL would end one of the two.
    atomic = False

    dependencies = [
        ("shipping", "0003_no_database_defaults"),
    ]

    operations = [
        # In the database these drop the constraints, and add them again on the way back.
        migrations.AlterField("destination", "order", models.UUIDField(db_column="order_id", unique=True)),
        migrations.AlterField("shipment", "order", models.UUIDField(db_column="order_id", unique=True)),
        # From here on only Django's own idea of it changes.
        migrations.RenameField("destination", "order", "order_id"),
        migrations.AlterField(
            "destination",
            "order_id",
            models.UUIDField("order id", help_text="The order; orders owns the id.", unique=True),
        ),
        migrations.RenameField("shipment", "order", "order_id"),
        migrations.AlterField(
            "shipment",
            "order_id",
            models.UUIDField("order id", help_text="The order; orders owns the id.", unique=True),
        ),
    ]
