"""Writes of orders: the catalogue, drafts, and placing an order, which charges, reserves and ships it on the way."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import get_text_list
from django.utils.translation import gettext

from inventory import stock
from inventory.models import Reservation
from orders.models import Order, OrderLine, Product
from payments import billing
from payments.gateway import GatewayUnavailableError
from payments.models import Payment
from shipping import dispatch


class PlaceOrderError(ValidationError):
    """The order cannot be placed; ``messages`` says everything that stands in the way and what to do about it."""


@transaction.atomic
def offer_product(*, sku: str, name: str, price: Decimal, currency: str) -> Product:
    """Put a product into the catalogue, or bring the one with this SKU up to date; it is active afterwards.

    Raises:
        ValidationError: a value is not acceptable, such as a price of zero.
    """
    product = Product.objects.select_for_update().filter(sku=sku).first() or Product(sku=sku)
    product.name, product.price, product.currency, product.active = name, price, currency, True
    product.full_clean()
    product.save()
    return product


@transaction.atomic
def create_order(
    *,
    customer_name: str,
    street: str,
    postcode: str,
    city: str,
    country: str,
    payment_token: str,
    lines: Mapping[str, int],
) -> Order:
    """Create a draft order.

    Args:
        country: ISO 3166-1 alpha-2, one of ``orders.models.Country``.
        payment_token: One of ``orders.models.PaymentToken``.
        lines: Quantity by SKU.

    Raises:
        ValidationError: a value is not acceptable, or the catalogue has no such SKU.
    """
    products = Product.objects.in_bulk(list(lines), field_name="sku")
    if unknown := sorted(set(lines) - set(products)):
        raise ValidationError(
            gettext("The catalogue has no %(skus)s. Add the product, or correct the SKU."),
            code="unknown_product",
            params={"skus": ", ".join(unknown)},
        )
    order = Order(
        customer_name=customer_name,
        street=street,
        postcode=postcode,
        city=city,
        country=country,
        payment_token=payment_token,
    )
    order.full_clean()
    order.save()
    for sku, quantity in lines.items():
        line = OrderLine(order=order, product=products[sku], quantity=quantity)
        line.full_clean()
        line.save()
    return order


@transaction.atomic
def place_order(*, order: Order, at: datetime | None = None) -> Order:
    """Place a draft: fix its prices, take the money, set the goods aside and send them, all in one transaction.

    Args:
        order: A saved draft. It is read anew under a lock, so unsaved changes of the instance are lost.
        at: When it was placed; now, where nothing else is said.

    Returns:
        The same instance, shipped or cancelled.

    Raises:
        PlaceOrderError: it is no draft any more, cannot be placed as it is, or the payment provider does not answer;
            nothing was changed.
    """
    order.refresh_from_db(from_queryset=Order.objects.select_for_update())
    if not order.is_draft:
        raise PlaceOrderError(
            gettext(
                "%(order)s is %(state)s: it was placed before, and an order is placed once. "
                "Create a new order to buy the same again."
            ),
            code="not_draft",
            params={"order": order, "state": order.get_state_display().lower()},
        )
    lines = list(order.lines.select_related("product"))
    _refuse_unplaceable(order, lines)

    for line in lines:
        line.unit_price = line.product.price
    OrderLine.objects.bulk_update(lines, ["unit_price"])
    order.total = sum((line.amount for line in lines), Decimal("0.00"))
    order.currency = lines[0].product.currency
    order.placed_at = at or timezone.now()
    order.state = Order.State.ACCEPTED
    order.save()

    payment = _charge(order)
    if payment.state == Payment.State.DECLINED:
        return _cancel(order, Order.CancelReason.PAYMENT_DECLINED, note=payment.decline_reason)
    _advance(order, to=Order.State.PAID)

    reservation = stock.reserve(order)
    if reservation.state == Reservation.State.REFUSED:
        billing.refund(order)
        return _cancel(order, Order.CancelReason.OUT_OF_STOCK)
    _advance(order, to=Order.State.RESERVED)

    dispatch.ship(order)
    stock.issue(order)
    return _advance(order, to=Order.State.SHIPPED)


def _charge(order: Order) -> Payment:
    try:
        return billing.charge(order)
    except GatewayUnavailableError as error:
        raise PlaceOrderError(
            gettext(
                "The payment provider does not answer, so %(order)s is still a draft. Place it again in a minute: "
                "should the money have been taken after all, it will not be taken twice."
            ),
            code="gateway_unavailable",
            params={"order": order},
        ) from error


def _advance(order: Order, *, to: Order.State) -> Order:
    order.state = to
    order.save()
    return order


def _cancel(order: Order, reason: Order.CancelReason, *, note: str = "") -> Order:
    order.cancel_reason, order.cancel_note = reason, note
    return _advance(order, to=Order.State.CANCELLED)


def _refuse_unplaceable(order: Order, lines: list[OrderLine]) -> None:
    # Quantities need no look here: the database itself holds them between 1 and MAX_QUANTITY.
    problems = []
    if not lines:
        problems.append(
            ValidationError(
                gettext("%(order)s has no lines. Add at least one product to it."),
                code="no_lines",
                params={"order": order},
            )
        )
    problems.extend(
        ValidationError(
            gettext("%(product)s is no longer sold. Remove its line, or make the product active again."),
            code="inactive_product",
            params={"product": line.product},
        )
        for line in lines
        if not line.product.active
    )
    currencies = sorted({line.product.currency for line in lines})
    if len(currencies) > 1:
        problems.append(
            ValidationError(
                gettext("%(order)s mixes prices in %(currencies)s. Place one order per currency."),
                code="mixed_currencies",
                params={"order": order, "currencies": get_text_list(currencies, gettext("and"))},
            )
        )
    if problems:
        raise PlaceOrderError(problems)
