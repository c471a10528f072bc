import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    """The foreign keys to order and product become order id and SKU: constraints go, columns stay as they are."""

    # Each constraint in a transaction of its own. All in one would lock order and product one after the other, as those
    # who place orders do meanwhile: PostgreSQL would end one of the two.
    atomic = False

    dependencies = [
        ("inventory", "0003_no_database_defaults"),
    ]

    operations = [
        # In the database these drop the constraints, and an index that the shop has no use for.
        migrations.AlterField("reservation", "order", models.UUIDField(db_column="order_id", unique=True)),
        migrations.AlterField(
            "stockitem", "product", models.CharField(db_column="sku", max_length=40, unique=True)
        ),
        migrations.AlterField("reservationline", "product", models.CharField(db_column="sku", max_length=40)),
        # From here on only Django's own idea of it changes.
        migrations.RenameField("reservation", "order", "order_id"),
        migrations.AlterField(
            "reservation",
            "order_id",
            models.UUIDField("order id", help_text="The order; orders owns the id.", unique=True),
        ),
        migrations.AlterModelOptions(
            "stockitem",
            {"ordering": ["sku"], "verbose_name": "stock item", "verbose_name_plural": "stock items"},
        ),
        migrations.RenameField("stockitem", "product", "sku"),
        migrations.AlterField(
            "stockitem",
            "sku",
            models.CharField(
                "SKU",
                max_length=40,
                unique=True,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[A-Z0-9]+(-[A-Z0-9]+)*$", "Write capitals, digits and single hyphens."
                    )
                ],
            ),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint("reservationline", "inventory_line_one_per_sku"),
                migrations.AlterModelOptions(
                    "reservationline",
                    {
                        "ordering": ["sku"],
                        "verbose_name": "reservation line",
                        "verbose_name_plural": "reservation lines",
                    },
                ),
                migrations.RenameField("reservationline", "product", "sku"),
                migrations.AlterField("reservationline", "sku", models.CharField("SKU", max_length=40)),
                migrations.AddConstraint(
                    "reservationline",
                    models.UniqueConstraint(fields=("reservation", "sku"), name="inventory_line_one_per_sku"),
                ),
            ]
        ),
    ]
