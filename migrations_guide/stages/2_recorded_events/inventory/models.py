"""What inventory keeps: what lies on the shelves, and one reservation per order."""

import uuid

from django.db import models
from django.db.models import F, Q


class StockItem(models.Model):
    """One product on the shelves: the database itself keeps it from being negative or promised twice."""

    product = models.OneToOneField(
        "orders.Product", on_delete=models.PROTECT, to_field="sku", db_column="sku", related_name="stock"
    )
    on_hand = models.PositiveIntegerField(default=0, help_text="Pieces that lie on the shelf.")
    reserved = models.PositiveIntegerField(
        default=0, editable=False, help_text="Pieces of those that are promised to paid orders."
    )

    class Meta:
        ordering = ["product_id"]
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

        RESERVED = "reserved", "Reserved"
        ISSUED = "issued", "Issued"
        REFUSED = "refused", "Out of stock"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.OneToOneField("orders.Order", on_delete=models.PROTECT, related_name="reservation")
    state = models.CharField(max_length=10, choices=State)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField("last change", auto_now=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"Reservation {self.pk}"


class ReservationLine(models.Model):
    """So many pieces of one product that the order wants."""

    reservation = models.ForeignKey(Reservation, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(
        "orders.Product", on_delete=models.PROTECT, to_field="sku", db_column="sku", related_name="+"
    )
    quantity = models.PositiveIntegerField()

    class Meta:
        ordering = ["product_id"]
        constraints = [
            models.UniqueConstraint(fields=["reservation", "product"], name="inventory_line_one_per_sku"),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="inventory_line_quantity_above_zero"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product_id}"
