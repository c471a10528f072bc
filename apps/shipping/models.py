"""What shipping keeps: where each order goes, and one shipment per order."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Destination(models.Model):
    """Where an order goes, and whether it is ready to go.

    The row is made by whichever news of the order comes first, and everyone who acts on the order locks it, so
    any order of arrival leads to the same end. The address is shipping's own copy.
    """

    order_id = models.UUIDField(_("order id"), unique=True, help_text=_("The order; orders owns the id."))
    noted = models.BooleanField(_("noted"), default=False, help_text=_("The address is known."))
    ready = models.BooleanField(_("ready"), default=False, help_text=_("Everything ordered is set aside."))
    dropped = models.BooleanField(
        _("dropped"), default=False, help_text=_("The order goes nowhere, and its address is not kept.")
    )
    name = models.CharField(_("name"), max_length=120, blank=True)
    street = models.CharField(_("street"), max_length=120, blank=True)
    postcode = models.CharField(_("postcode"), max_length=12, blank=True)
    city = models.CharField(_("city"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")
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
            return gettext("(address dropped)")
        if not self.noted:
            return gettext("(address to come)")
        return f"{self.name}, {self.street}, {self.postcode} {self.city}, {self.country}"


class Shipment(models.Model):
    """The parcel that takes an order to its destination."""

    class Carrier(models.TextChoices):
        """Who carries parcels for the shop."""

        LANDPOST = "landpost", "Landpost"
        CONTIPARCEL = "contiparcel", "ContiParcel"
        BLUE_GLOBE = "blue_globe", "Blue Globe Air"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order_id = models.UUIDField(_("order id"), unique=True, help_text=_("The order; orders owns the id."))
    destination = models.OneToOneField(
        Destination, on_delete=models.PROTECT, verbose_name=_("destination"), related_name="shipment"
    )
    carrier = models.CharField(_("carrier"), max_length=20, choices=Carrier)
    tracking_number = models.CharField(_("tracking number"), max_length=40, unique=True)
    scheduled_at = models.DateTimeField(_("scheduled at"))

    class Meta:
        ordering = ["-scheduled_at"]
        verbose_name = _("shipment")
        verbose_name_plural = _("shipments")
        constraints = [
            models.CheckConstraint(condition=~Q(tracking_number=""), name="shipping_shipment_can_be_tracked"),
        ]

    def __str__(self) -> str:
        return gettext("Shipment %(number)s") % {"number": self.tracking_number}
