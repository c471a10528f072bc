"""What payments keeps: one payment per order."""

import uuid
from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


def _exactly_when(*, state: list[str], filled: str) -> Q:
    """Return the condition that a text field is filled in these states and empty in all others."""
    return Q(~Q(**{filled: ""}), state__in=state) | Q(~Q(state__in=state), **{filled: ""})


class Payment(models.Model):
    """The one attempt to collect an order's total, and what became of it."""

    class State(models.TextChoices):
        """TAKING never outlives the transaction it begins in; declined and refunded are final."""

        TAKING = "taking", _("Being taken")
        RECEIVED = "received", _("Received")
        DECLINED = "declined", _("Declined")
        REFUNDED = "refunded", _("Refunded")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order_id = models.UUIDField(
        _("order id"), unique=True, help_text=_("The order that it pays; orders owns the id.")
    )
    idempotency_key = models.UUIDField(
        _("idempotency key"), unique=True, help_text=_("What the gateway knows this payment by.")
    )
    amount = models.DecimalField(
        _("amount"), max_digits=18, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    currency = models.CharField(_("currency"), max_length=3)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.TAKING)
    reference = models.CharField(
        _("reference"), max_length=60, blank=True, help_text=_("The gateway's reference of the charge.")
    )
    decline_reason = models.CharField(_("decline reason"), max_length=200, blank=True)
    refund_reference = models.CharField(
        _("refund reference"),
        max_length=60,
        blank=True,
        help_text=_("The gateway's reference of the refund."),
    )
    taken_at = models.DateTimeField(_("taken at"), help_text=_("When the gateway was asked."))
    refunded_at = models.DateTimeField(_("refunded at"), null=True)

    class Meta:
        ordering = ["-taken_at"]
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
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
        return gettext("Payment %(reference)s") % {"reference": self.reference or self.pk}
