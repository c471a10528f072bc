"""Writes of orders: the catalogue, drafts, placing an order, and what events make of it afterwards."""

import logging
from collections.abc import Collection, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import get_text_list
from django.utils.translation import gettext

from microworkflows import PermanentError, Subject, outbox
from orders.events import Address, Line, OrderAccepted
from orders.models import Order, OrderLine, Product

logger = logging.getLogger(__name__)

_PROGRESS = [
    Order.State.DRAFT,
    Order.State.ACCEPTED,
    Order.State.PAID,
    Order.State.RESERVED,
    Order.State.SHIPPED,
]
_FINAL = {Order.State.SHIPPED, Order.State.CANCELLED}


class PlaceOrderError(ValidationError):
    """The order cannot be placed; ``messages`` says everything that stands in the way and what to do about it."""


class UnknownOrderError(PermanentError):
    """An event names an order that does not exist here."""


class OrderNotPlacedError(PermanentError):
    """An event tells of progress in an order that was never placed."""


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
    """Place a draft: fix its prices, accept it and record OrderAccepted, all in one transaction.

    Args:
        order: A saved draft. It is read anew under a lock, so unsaved changes of the instance are lost.
        at: When it was placed; now, where nothing else is said.

    Returns:
        The same instance, accepted.

    Raises:
        PlaceOrderError: it is no draft any more, or cannot be placed as it is; nothing was changed.
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

    about = Subject(kind="orders.order", key=order.pk, name=order.number)
    # The other contexts know the order by its id alone, by which they find its journey.
    outbox.record(_order_accepted(order, lines), about=about, correlation_id=str(order.pk))
    return order


def mark_paid(*, order_ids: Collection[UUID]) -> None:
    """Note that orders are paid."""
    _advance(order_ids, to=Order.State.PAID)


def mark_reserved(*, order_ids: Collection[UUID]) -> None:
    """Note that everything that these orders want is set aside."""
    _advance(order_ids, to=Order.State.RESERVED)


def mark_shipped(*, order_ids: Collection[UUID]) -> None:
    """Note that the parcels are on their way, which ends the orders."""
    _advance(order_ids, to=Order.State.SHIPPED)


def cancel_declined(*, order_id: UUID, note: str) -> None:
    """Cancel the order because it cannot be paid; ``note`` is what the payment's side says."""
    _cancel(order_id=order_id, reason=Order.CancelReason.PAYMENT_DECLINED, note=note)


def cancel_refunded(*, order_id: UUID) -> None:
    """Cancel the order because it could not be filled and the money was given back."""
    _cancel(order_id=order_id, reason=Order.CancelReason.OUT_OF_STOCK)


@transaction.atomic(savepoint=False)
def _advance(order_ids: Collection[UUID], *, to: Order.State) -> None:
    """Move orders forward; news that comes late, or twice, changes nothing."""
    moving = []
    for order in _locked(order_ids):
        if order.state in _FINAL or _PROGRESS.index(Order.State(order.state)) >= _PROGRESS.index(to):
            level = logging.WARNING if order.state == Order.State.CANCELLED else logging.INFO
            logger.log(
                level, "%s is %s already; not set to %s. order_id=%s", order, order.state, to, order.pk
            )
        else:
            moving.append(order.pk)
    if moving:
        Order.objects.filter(pk__in=moving).update(state=to, changed_at=timezone.now())


@transaction.atomic(savepoint=False)
def _cancel(*, order_id: UUID, reason: Order.CancelReason, note: str = "") -> None:
    """Cancel the order unless it has ended."""
    (order,) = _locked([order_id])
    if order.state in _FINAL:
        level = logging.WARNING if order.state == Order.State.SHIPPED else logging.INFO
        logger.log(level, "%s is %s already; not cancelled. order_id=%s", order, order.state, order_id)
        return
    order.state, order.cancel_reason = Order.State.CANCELLED, reason
    order.cancel_note = note[: Order._meta.get_field("cancel_note").max_length]
    order.save()


def _locked(order_ids: Collection[UUID]) -> list[Order]:
    """Return placed orders, locked in the order of their ids."""
    orders = list(Order.objects.select_for_update().filter(pk__in=order_ids).order_by("pk"))
    for unknown in sorted(set(order_ids) - {order.pk for order in orders}):
        # An order and its OrderAccepted commit together, so waiting would not bring it.
        raise UnknownOrderError(
            f"There is no order {unknown}. The event belongs to another system or to an order deleted by hand; "
            "look at its source before you replay it."
        )
    for order in orders:
        if order.is_draft:
            raise OrderNotPlacedError(
                f"{order} is a draft, so nobody can have news of it. Look at the event's source."
            )
    return orders


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


def _order_accepted(order: Order, lines: list[OrderLine]) -> OrderAccepted:
    assert order.total is not None
    return OrderAccepted(
        order_id=order.pk,
        number=order.number,
        total=order.total,
        currency=order.currency,
        payment_token=order.payment_token,
        lines=[Line(sku=line.product.sku, quantity=line.quantity) for line in lines],
        ship_to=Address(
            name=order.customer_name,
            street=order.street,
            postcode=order.postcode,
            city=order.city,
            country=order.country,
        ),
    )
