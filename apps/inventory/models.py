"""What inventory keeps: what lies on the shelves, and one reservation per order."""

import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class StockItem(models.Model):
    """One product on the shelves: the database itself keeps it from being negative or promised twice."""

    sku = models.CharField(
        _("SKU"),
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Z0-9]+(-[A-Z0-9]+)*$", _("Write capitals, digits and single hyphens."))
        ],
    )
    on_hand = models.PositiveIntegerField(
        _("on hand"), default=0, help_text=_("Pieces that lie on the shelf.")
    )
    reserved = models.PositiveIntegerField(
        _("reserved"),
        default=0,
        editable=False,
        help_text=_("Pieces of those that are promised to paid orders."),
    )

    class Meta:
        ordering = ["sku"]
        verbose_name = _("stock item")
        verbose_name_plural = _("stock items")
        constraints = [
            models.CheckConstraint(condition=Q(on_hand__gte=0), name="inventory_stock_on_hand_not_negative"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0), name="inventory_stock_reserved_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(reserved__lte=F("on_hand")), name="inventory_stock_not_over_reserved"
            ),
        ]

    def __str__(self) -> str:
        return self.sku

    @property
    def available(self) -> int:
        """Pieces that can still be promised."""
        return self.on_hand - self.reserved


class Reservation(models.Model):
    """One order as the warehouse sees it: its own copy of the lines, and whether it is paid.

    The row is made by whichever news of the order comes first, and everyone who acts on the order locks it, so
    any order of arrival leads to the same end.
    """

    class State(models.TextChoices):
        """Waiting becomes reserved, refused or dropped, once; reserved becomes issued."""

        WAITING = "waiting", _("Waiting")
        RESERVED = "reserved", _("Reserved")
        ISSUED = "issued", _("Issued")
        REFUSED = "refused", _("Out of stock")
        DROPPED = "dropped", _("Dropped")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    order_id = models.UUIDField(_("order id"), unique=True, help_text=_("The order; orders owns the id."))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    noted = models.BooleanField(_("noted"), default=False, help_text=_("What was ordered is known."))
    paid = models.BooleanField(_("paid"), default=False, help_text=_("The order is paid."))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    changed_at = models.DateTimeField(_("last change"), auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["reserved", "issued", "refused"]) | Q(noted=True, paid=True),
                name="inventory_reservation_decided_when_paid",
            ),
            models.CheckConstraint(
                condition=~Q(state="waiting") | ~Q(noted=True, paid=True),
                name="inventory_reservation_waits_for_something",
            ),
        ]

    def __str__(self) -> str:
        return gettext("Reservation %(id)s") % {"id": self.pk}


class ReservationLine(models.Model):
    """So many pieces of one product that the order wants."""

    reservation = models.ForeignKey(
        Reservation, on_delete=models.CASCADE, verbose_name=_("reservation"), related_name="lines"
    )
    # No foreign key to StockItem: an order may name what was never on a shelf, and that is out of stock too.
    sku = models.CharField(_("SKU"), max_length=40)
    quantity = models.PositiveIntegerField(_("quantity"))

    class Meta:
        ordering = ["sku"]
        verbose_name = _("reservation line")
        verbose_name_plural = _("reservation lines")
        constraints = [
            models.UniqueConstraint(fields=["reservation", "sku"], name="inventory_line_one_per_sku"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="inventory_line_quantity_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"
