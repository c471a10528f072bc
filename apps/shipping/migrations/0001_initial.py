import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Destination",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "order_id",
                    models.UUIDField(
                        help_text="The order; orders owns the id.", unique=True, verbose_name="order id"
                    ),
                ),
                (
                    "noted",
                    models.BooleanField(
                        default=False, help_text="The address is known.", verbose_name="noted"
                    ),
                ),
                (
                    "ready",
                    models.BooleanField(
                        default=False, help_text="Everything ordered is set aside.", verbose_name="ready"
                    ),
                ),
                (
                    "dropped",
                    models.BooleanField(
                        default=False,
                        help_text="The order goes nowhere, and its address is not kept.",
                        verbose_name="dropped",
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=120, verbose_name="name")),
                ("street", models.CharField(blank=True, max_length=120, verbose_name="street")),
                ("postcode", models.CharField(blank=True, max_length=12, verbose_name="postcode")),
                ("city", models.CharField(blank=True, max_length=80, verbose_name="city")),
                ("country", models.CharField(blank=True, max_length=2, verbose_name="country")),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
            ],
            options={
                "ordering": ["-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("noted", False), models.Q(("country", ""), _negated=True), _connector="OR"
                        ),
                        name="shipping_destination_noted_with_country",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("dropped", False),
                            models.Q(
                                ("city", ""),
                                ("country", ""),
                                ("name", ""),
                                ("noted", False),
                                ("postcode", ""),
                                ("street", ""),
                            ),
                            _connector="OR",
                        ),
                        name="shipping_destination_dropped_without_address",
                    ),
                ],
                "verbose_name": "destination",
                "verbose_name_plural": "destinations",
            },
        ),
        migrations.CreateModel(
            name="Shipment",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "order_id",
                    models.UUIDField(
                        help_text="The order; orders owns the id.", unique=True, verbose_name="order id"
                    ),
                ),
                (
                    "carrier",
                    models.CharField(
                        choices=[
                            ("landpost", "Landpost"),
                            ("contiparcel", "ContiParcel"),
                            ("blue_globe", "Blue Globe Air"),
                        ],
                        max_length=20,
                        verbose_name="carrier",
                    ),
                ),
                (
                    "tracking_number",
                    models.CharField(max_length=40, unique=True, verbose_name="tracking number"),
                ),
                ("scheduled_at", models.DateTimeField(verbose_name="scheduled at")),
                (
                    "destination",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="shipment",
                        to="shipping.destination",
                        verbose_name="destination",
                    ),
                ),
            ],
            options={
                "ordering": ["-scheduled_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("tracking_number", ""), _negated=True),
                        name="shipping_shipment_can_be_tracked",
                    )
                ],
                "verbose_name": "shipment",
                "verbose_name_plural": "shipments",
            },
        ),
    ]
