"""What inventory keeps: what lies on the shelves, and one reservation per order."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class StockItem(models.Model):
    """One product on the shelves: the database itself keeps it from being negative or promised twice."""

    product = models.OneToOneField(
        "orders.Product",
        on_delete=models.PROTECT,
        verbose_name=_("product"),
        to_field="sku",
        db_column="sku",
        related_name="stock",
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
        ordering = ["product_id"]
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
        return self.product_id

    @property
    def available(self) -> int:
        """Pieces that can still be promised."""
        return self.on_hand - self.reserved


class Reservation(models.Model):
    """What is set aside for an order, or could not be."""

    class State(models.TextChoices):
        """Reserved becomes issued, when the parcel leaves; refused is final."""

        RESERVED = "reserved", _("Reserved")
        ISSUED = "issued", _("Issued")
        REFUSED = "refused", _("Out of stock")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid.uuid4, editable=False)
    order = models.OneToOneField(
        "orders.Order", on_delete=models.PROTECT, verbose_name=_("order"), related_name="reservation"
    )
    state = models.CharField(_("state"), max_length=10, choices=State)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    changed_at = models.DateTimeField(_("last change"), auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")

    def __str__(self) -> str:
        return gettext("Reservation %(id)s") % {"id": self.pk}


class ReservationLine(models.Model):
    """So many pieces of one product that the order wants."""

    reservation = models.ForeignKey(
        Reservation, on_delete=models.CASCADE, verbose_name=_("reservation"), related_name="lines"
    )
    product = models.ForeignKey(
        "orders.Product",
        on_delete=models.PROTECT,
        verbose_name=_("product"),
        to_field="sku",
        db_column="sku",
        related_name="+",
    )
    quantity = models.PositiveIntegerField(_("quantity"))

    class Meta:
        ordering = ["product_id"]
        verbose_name = _("reservation line")
        verbose_name_plural = _("reservation lines")
        constraints = [
            models.UniqueConstraint(fields=["reservation", "product"], name="inventory_line_one_per_sku"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="inventory_line_quantity_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
