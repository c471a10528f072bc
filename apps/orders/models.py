"""What orders keeps: the catalogue, and orders with their lines from draft to final state."""

import uuid
from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

MAX_QUANTITY = 999
"""Most pieces of one product that an order may ask for."""


class Currency(models.TextChoices):
    """What prices are in: currencies with two decimals (ISO 4217)."""

    EUR = "EUR", "EUR"
    GBP = "GBP", "GBP"
    USD = "USD", "USD"


class Country(models.TextChoices):
    """Where the shop delivers to (ISO 3166-1 alpha-2)."""

    AT = "AT", _("Austria")
    BE = "BE", _("Belgium")
    CH = "CH", _("Switzerland")
    DE = "DE", _("Germany")
    DK = "DK", _("Denmark")
    ES = "ES", _("Spain")
    FR = "FR", _("France")
    GB = "GB", _("United Kingdom")
    IE = "IE", _("Ireland")
    IT = "IT", _("Italy")
    NL = "NL", _("Netherlands")
    US = "US", _("United States")


class PaymentToken(models.TextChoices):
    """The ways to pay that the sandbox gateway knows; a real shop gets a token from its checkout page."""

    VISA = "tok_visa", _("Visa (approved)")
    DECLINED = "tok_declined", _("Visa (card declined)")
    INSUFFICIENT_FUNDS = "tok_insufficient_funds", _("Visa (insufficient funds)")
    SLOW_BANK = "tok_slow_bank", _("Visa of a slow bank (approved after some tries)")


class Product(models.Model):
    """Something the shop sells."""

    sku = models.CharField(
        _("SKU"),
        max_length=40,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Z0-9]+(-[A-Z0-9]+)*$", _("Write capitals, digits and single hyphens."))
        ],
    )
    name = models.CharField(_("name"), max_length=120)
    price = models.DecimalField(
        _("price"), max_digits=10, decimal_places=2, validators=[MinValueValidator(Decimal("0.01"))]
    )
    currency = models.CharField(_("currency"), max_length=3, choices=Currency, default=Currency.EUR)
    active = models.BooleanField(
        _("active"), default=True, help_text=_("Only active products can be ordered.")
    )

    class Meta:
        ordering = ["sku"]
        verbose_name = _("product")
        verbose_name_plural = _("products")
        constraints = [
            models.CheckConstraint(condition=Q(price__gt=0), name="orders_product_price_above_zero"),
            models.CheckConstraint(
                condition=Q(currency__in=Currency.values), name="orders_product_currency_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"


class OrderNumber(models.Model):
    """The source of order numbers: each row stands for one that was given out, and none is given out twice.

    Its primary key is the database's own sequence (PostgreSQL: identity column, SQLite: AUTOINCREMENT), so two
    orders made at the same moment never meet. A number whose transaction rolled back is missing, and may be.
    """

    id = models.BigAutoField(primary_key=True)

    def __str__(self) -> str:
        return f"A-{self.pk:06d}"


class Order(models.Model):
    """One customer's order: editable as a draft; once it is placed, it follows what becomes of it."""

    class State(models.TextChoices):
        """How far the order is; shipped and cancelled are final."""

        DRAFT = "draft", _("Draft")
        ACCEPTED = "accepted", _("Accepted")
        PAID = "paid", _("Paid")
        RESERVED = "reserved", _("Reserved")
        SHIPPED = "shipped", _("Shipped")
        CANCELLED = "cancelled", _("Cancelled")

    class CancelReason(models.TextChoices):
        """Why an order was cancelled."""

        PAYMENT_DECLINED = "payment_declined", _("Payment declined")
        OUT_OF_STOCK = "out_of_stock", _("Out of stock")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.CharField(_("number"), max_length=20, unique=True, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.DRAFT, editable=False)
    cancel_reason = models.CharField(
        _("cancel reason"), max_length=20, choices=CancelReason, blank=True, editable=False
    )
    cancel_note = models.CharField(_("cancel note"), max_length=200, blank=True, editable=False)

    customer_name = models.CharField(_("customer name"), max_length=120)
    street = models.CharField(_("street"), max_length=120)
    postcode = models.CharField(_("postcode"), max_length=12)
    city = models.CharField(_("city"), max_length=80)
    country = models.CharField(_("country"), max_length=2, choices=Country, default=Country.DE)
    payment_token = models.CharField(
        pgettext_lazy("way to pay", "payment"), max_length=40, choices=PaymentToken, default=PaymentToken.VISA
    )

    total = models.DecimalField(_("total"), max_digits=18, decimal_places=2, null=True, editable=False)
    currency = models.CharField(_("currency"), max_length=3, choices=Currency, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    placed_at = models.DateTimeField(_("placed at"), null=True, editable=False)
    changed_at = models.DateTimeField(_("last change"), auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        permissions = [("place_order", "Can place orders")]
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(state="draft", placed_at__isnull=True, total__isnull=True, currency="")
                    | (~Q(state="draft") & Q(placed_at__isnull=False, total__gt=0) & ~Q(currency=""))
                ),
                name="orders_order_total_known_once_placed",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state="cancelled", cancel_reason__in=["payment_declined", "out_of_stock"])
                    | (~Q(state="cancelled") & Q(cancel_reason="", cancel_note=""))
                ),
                name="orders_order_cancelled_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "accepted", "paid", "reserved", "shipped", "cancelled"]),
                name="orders_order_state_known",
            ),
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="orders_order_state_created")]

    def __str__(self) -> str:
        if not self.number:
            return gettext("Order (new)")
        return gettext("Order %(number)s") % {"number": self.number}

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the order; a new one gets its number, in the same transaction."""
        with transaction.atomic(using=kwargs.get("using"), savepoint=False):
            if not self.number:
                self.number = str(OrderNumber.objects.create())
            super().save(*args, **kwargs)

    @property
    def is_draft(self) -> bool:
        """Tell whether the order can still be changed and placed."""
        return self.state == self.State.DRAFT


class OrderLine(models.Model):
    """So many pieces of one product; the price is fixed when the order is placed."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, verbose_name=_("order"), related_name="lines")
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, verbose_name=_("product"), related_name="+"
    )
    quantity = models.PositiveIntegerField(
        _("quantity"), default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_QUANTITY)]
    )
    unit_price = models.DecimalField(
        _("unit price"), max_digits=10, decimal_places=2, null=True, editable=False
    )

    class Meta:
        ordering = ["pk"]
        verbose_name = _("order line")
        verbose_name_plural = _("order lines")
        constraints = [
            models.UniqueConstraint(
                fields=["order", "product"],
                name="orders_line_one_per_product",
                violation_error_message=_(
                    "This product is in the order already: change the quantity of that line."
                ),
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=1, quantity__lte=MAX_QUANTITY), name="orders_line_quantity_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product}"

    @property
    def price(self) -> Decimal:
        """Price of one piece: the one it was placed at, else what the catalogue asks now."""
        return self.product.price if self.unit_price is None else self.unit_price

    @property
    def amount(self) -> Decimal:
        """Price of the line."""
        return self.price * self.quantity
