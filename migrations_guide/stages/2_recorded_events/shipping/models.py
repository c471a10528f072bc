"""What shipping keeps: where each order goes, and one shipment per order."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Destination(models.Model):
    """Where an order goes, as it stands on the label of its parcel."""

    order = models.OneToOneField(
        "orders.Order", on_delete=models.PROTECT, verbose_name=_("order"), related_name="destination"
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

    def __str__(self) -> str:
        return f"{self.name}, {self.street}, {self.postcode} {self.city}, {self.country}"


class Shipment(models.Model):
    """The parcel that takes an order to its destination."""

    class Carrier(models.TextChoices):
        """Who carries parcels for the shop."""

        LANDPOST = "landpost", "Landpost"
        CONTIPARCEL = "contiparcel", "ContiParcel"
        BLUE_GLOBE = "blue_globe", "Blue Globe Air"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.OneToOneField(
        "orders.Order", on_delete=models.PROTECT, verbose_name=_("order"), related_name="shipment"
    )
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
