"""What shipping keeps: where each order goes, and one shipment per order."""

import uuid

from django.db import models
from django.db.models import Q


class Destination(models.Model):
    """Where an order goes, and whether it is ready to go.

    The row is made by whichever news of the order comes first, and everyone who acts on the order locks it, so
    any order of arrival leads to the same end. The address is shipping's own copy.
    """

    order = models.OneToOneField("orders.Order", on_delete=models.PROTECT, related_name="destination")
    # What the code of before inserts without these columns is on its way: it is noted and ready.
    noted = models.BooleanField(default=False, db_default=True, help_text="The address is known.")
    ready = models.BooleanField(default=False, db_default=True, help_text="Everything ordered is set aside.")
    dropped = models.BooleanField(
        default=False, db_default=False, help_text="The order goes nowhere, and its address is not kept."
    )
    name = models.CharField(max_length=120, blank=True)
    street = models.CharField(max_length=120, blank=True)
    postcode = models.CharField(max_length=12, blank=True)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(noted=False) | ~Q(country=""), name="shipping_destination_noted_with_country"
            ),
            models.CheckConstraint(
                condition=Q(dropped=False)
                | Q(noted=False, name="", street="", postcode="", city="", country=""),
                name="shipping_destination_dropped_without_address",
            ),
        ]

    def __str__(self) -> str:
        if self.dropped:
            return "(address dropped)"
        if not self.noted:
            return "(address to come)"
        return f"{self.name}, {self.street}, {self.postcode} {self.city}, {self.country}"


class Shipment(models.Model):
    """The parcel that takes an order to its destination."""

    class Carrier(models.TextChoices):
        """Who carries parcels for the shop."""

        LANDPOST = "landpost", "Landpost"
        CONTIPARCEL = "contiparcel", "ContiParcel"
        BLUE_GLOBE = "blue_globe", "Blue Globe Air"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.OneToOneField("orders.Order", on_delete=models.PROTECT, related_name="shipment")
    destination = models.OneToOneField(Destination, on_delete=models.PROTECT, related_name="shipment")
    carrier = models.CharField(max_length=20, choices=Carrier)
    tracking_number = models.CharField(max_length=40, unique=True)
    scheduled_at = models.DateTimeField()

    class Meta:
        ordering = ["-scheduled_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(tracking_number=""), name="shipping_shipment_can_be_tracked"),
        ]

    def __str__(self) -> str:
        return f"Shipment {self.tracking_number}"
