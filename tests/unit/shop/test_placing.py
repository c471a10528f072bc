"""Drafts and placing them: what is validated, what is fixed, and the event that tells of it."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.events import Address, Line, OrderAccepted
from orders.models import Order, OrderLine, OrderNumber, Product
from tests.unit.shop.conftest import ADDRESS, Draft


def test_new_order_is_a_numbered_draft(draft: Draft) -> None:
    first, second = draft(), draft()

    assert first.is_draft
    assert first.number.startswith("A-")
    assert len(first.number) == len("A-000123")
    assert int(second.number[2:]) > int(first.number[2:])
    assert OutboxEvent.objects.count() == 0


def test_number_keeps_growing_past_six_digits(db: None) -> None:
    assert str(OrderNumber(pk=123)) == "A-000123"
    assert str(OrderNumber(pk=1_234_567)) == "A-1234567"


def test_saving_an_order_again_keeps_its_number(draft: Draft) -> None:
    order = draft()
    number = order.number

    order.save()

    order.refresh_from_db()
    assert order.number == number


def test_order_of_an_unknown_sku_is_not_created(shop: None) -> None:
    with pytest.raises(ValidationError, match="The catalogue has no NO-SUCH-THING"):
        operations.create_order(**ADDRESS, payment_token="tok_visa", lines={"NO-SUCH-THING": 1})

    assert Order.objects.count() == 0


@pytest.mark.parametrize("quantity", [0, -1, 1000])
def test_quantity_out_of_range_is_refused_and_leaves_no_order(draft: Draft, quantity: int) -> None:
    with pytest.raises(ValidationError, match=r"less than or equal to 999|greater than or equal to"):
        draft(lines={"TEA-SENCHA-100": quantity})

    assert Order.objects.count() == 0


@pytest.mark.parametrize("wish", [{"country": "XX"}, {"payment_token": "tok_other"}, {"city": ""}])
def test_draft_with_a_bad_value_is_refused(draft: Draft, wish: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        draft(**wish)

    assert set(refused.value.message_dict) == set(wish)


def test_placed_order_is_accepted_with_its_total(draft: Draft) -> None:
    order = draft(lines={"TEA-SENCHA-100": 3, "FILTER-PAPER-100": 2})

    placed = operations.place_order(order=order)

    assert placed is order
    order.refresh_from_db()
    assert order.state == Order.State.ACCEPTED
    assert (order.total, order.currency) == (Decimal("38.10"), "EUR")
    assert order.placed_at is not None


def test_placed_order_is_announced_with_all_that_others_need(draft: Draft, flow: Flow) -> None:
    order = operations.place_order(order=draft())

    [event] = flow.emitted(OrderAccepted)
    assert event == OrderAccepted(
        order_id=order.pk,
        number=order.number,
        total=Decimal("34.30"),
        currency="EUR",
        payment_token="tok_visa",
        lines=[Line(sku="TEA-SENCHA-100", quantity=2), Line(sku="MUG-STONE-350", quantity=1)],
        ship_to=Address(
            name="Sample Customer", street="Example Street 1", postcode="10115", city="Berlin", country="DE"
        ),
    )
    assert event.meta.correlation_id == str(order.pk)


def test_price_is_fixed_when_the_order_is_placed(draft: Draft) -> None:
    order = draft(lines={"TEA-SENCHA-100": 2})
    Product.objects.filter(sku="TEA-SENCHA-100").update(price=Decimal("10.00"))
    operations.place_order(order=order)

    Product.objects.filter(sku="TEA-SENCHA-100").update(price=Decimal("99.00"))

    line = order.lines.get()
    assert (line.price, line.amount, order.total) == (Decimal("10.00"), Decimal("20.00"), Decimal("20.00"))


def test_order_without_lines_is_not_placed(draft: Draft) -> None:
    order = draft(lines={})

    with pytest.raises(operations.PlaceOrderError, match=r"has no lines\. Add at least one product"):
        operations.place_order(order=order)

    _assert_still_a_draft(order)


def test_order_of_an_inactive_product_is_not_placed(draft: Draft) -> None:
    order = draft()
    Product.objects.filter(sku="MUG-STONE-350").update(active=False)

    with pytest.raises(operations.PlaceOrderError, match=r"MUG-STONE-350.*is no longer sold"):
        operations.place_order(order=order)

    _assert_still_a_draft(order)


def test_order_in_two_currencies_is_not_placed(draft: Draft) -> None:
    order = draft()
    Product.objects.filter(sku="MUG-STONE-350").update(currency="GBP")

    with pytest.raises(operations.PlaceOrderError, match="mixes prices in EUR and GBP"):
        operations.place_order(order=order)

    _assert_still_a_draft(order)


def test_everything_that_stands_in_the_way_is_said_at_once(draft: Draft) -> None:
    order = draft()
    Product.objects.filter(sku="MUG-STONE-350").update(currency="GBP", active=False)

    with pytest.raises(operations.PlaceOrderError) as refused:
        operations.place_order(order=order)

    assert {problem.code for problem in refused.value.error_list} == {"inactive_product", "mixed_currencies"}


def test_order_is_placed_once(draft: Draft) -> None:
    order = operations.place_order(order=draft())

    with pytest.raises(operations.PlaceOrderError, match="is accepted: it was placed before"):
        operations.place_order(order=order)

    assert OutboxEvent.objects.count() == 1


def test_stale_instance_cannot_place_an_order_again(draft: Draft) -> None:
    order = draft()
    stale = Order.objects.get(pk=order.pk)
    operations.place_order(order=order)

    with pytest.raises(operations.PlaceOrderError, match="placed before"):
        operations.place_order(order=stale)

    assert OutboxEvent.objects.count() == 1


def test_rolled_back_placing_leaves_neither_state_nor_event(draft: Draft) -> None:
    order = draft()

    with transaction.atomic():
        operations.place_order(order=order)
        transaction.set_rollback(True)

    _assert_still_a_draft(order)


@pytest.mark.parametrize(
    "values",
    [
        {"state": "accepted"},
        {"state": "cancelled", "total": "1.00", "currency": "EUR", "placed_at": "2026-01-01T00:00Z"},
        {"total": "1.00"},
        {"cancel_reason": "out_of_stock"},
        {"state": "elsewhere", "total": "1.00", "currency": "EUR", "placed_at": "2026-01-01T00:00Z"},
    ],
)
def test_database_refuses_an_order_that_contradicts_itself(draft: Draft, values: dict[str, Any]) -> None:
    order = draft()

    with pytest.raises(IntegrityError), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(**values)


@pytest.mark.parametrize("quantity", [0, 1000])
def test_database_refuses_a_quantity_out_of_range(draft: Draft, quantity: int) -> None:
    order = draft()

    with pytest.raises(IntegrityError), transaction.atomic():
        OrderLine.objects.filter(order=order).update(quantity=quantity)


def test_database_refuses_a_second_line_of_a_product(draft: Draft) -> None:
    line = draft().lines.all()[0]
    line.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        line.save(force_insert=True)


@pytest.mark.parametrize("price", ["0.00", "-1.00"])
def test_product_without_a_price_is_refused(db: None, price: str) -> None:
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.01"):
        operations.offer_product(sku="NEW", name="New", price=Decimal(price), currency="EUR")


def _assert_still_a_draft(order: Order) -> None:
    order.refresh_from_db()
    assert order.is_draft
    assert order.total is None
    assert OutboxEvent.objects.count() == 0
