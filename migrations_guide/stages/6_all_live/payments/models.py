"""What payments keeps: one payment per order."""

import uuid
from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q


def _exactly_when(*, state: list[str], filled: str) -> Q:
    """Return the condition that a text field is filled in these states and empty in all others."""
    return Q(~Q(**{filled: ""}), state__in=state) | Q(~Q(state__in=state), **{filled: ""})


class Payment(models.Model):
    """The one attempt to collect an order's total, and what became of it."""

    class State(models.TextChoices):
        """TAKING never outlives the transaction it begins in; declined and refunded are final."""

        TAKING = "taking", "Being taken"
        RECEIVED = "received", "Received"
        DECLINED = "declined", "Declined"
        REFUNDED = "refunded", "Refunded"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.OneToOneField("orders.Order", on_delete=models.PROTECT, related_name="payment")
    idempotency_key = models.UUIDField(unique=True, help_text="What the gateway knows this payment by.")
    amount = models.DecimalField(
        max_digits=18, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=State, default=State.TAKING)
    reference = models.CharField(
        max_length=60, blank=True, help_text="The gateway's reference of the charge."
    )
    decline_reason = models.CharField(max_length=200, blank=True)
    refund_reference = models.CharField(
        max_length=60, blank=True, help_text="The gateway's reference of the refund."
    )
    taken_at = models.DateTimeField(help_text="When the gateway was asked.")
    refunded_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-taken_at"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="payments_payment_amount_above_zero"),
            models.CheckConstraint(
                condition=_exactly_when(state=["received", "refunded"], filled="reference"),
                name="payments_payment_collected_with_reference",
            ),
            models.CheckConstraint(
                condition=_exactly_when(state=["declined"], filled="decline_reason"),
                name="payments_payment_declined_with_reason",
            ),
            models.CheckConstraint(
                condition=_exactly_when(state=["refunded"], filled="refund_reference"),
                name="payments_payment_refunded_with_reference",
            ),
        ]

    def __str__(self) -> str:
        return f"Payment {self.reference or self.pk}"
