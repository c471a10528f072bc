"""The ways of an order through all four contexts: each ends in exactly one final state, however events arrive."""

import random
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from inventory.models import Reservation, StockItem
from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow
from orders import operations
from orders.models import Order
from payments.models import Payment
from shipping.models import Destination, Shipment
from tests.unit.shop.conftest import Draft

ANNOUNCED = {
    "shipped": [
        "orders.order_accepted.v1",
        "payments.payment_received.v1",
        "inventory.items_reserved.v1",
        "shipping.shipment_scheduled.v1",
    ],
    "payment_declined": ["orders.order_accepted.v1", "payments.payment_declined.v1"],
    "out_of_stock": [
        "orders.order_accepted.v1",
        "payments.payment_received.v1",
        "inventory.out_of_stock.v1",
        "payments.payment_refunded.v1",
    ],
}
TIMER = "payments.payment_overdue.v1"
"""Recorded with every order, of a time to come; cancelled by its payment."""
WAYS = [
    ({}, "shipped"),
    ({"lines": {"TEAPOT-IRON-800": 1}}, "shipped"),
    ({"payment_token": "tok_declined"}, "payment_declined"),
    ({"payment_token": "tok_insufficient_funds"}, "payment_declined"),
    ({"lines": {"CUP-RAKU-LTD": 1}}, "out_of_stock"),
    ({"lines": {"TEA-SENCHA-100": 1, "CUP-RAKU-LTD": 1}}, "out_of_stock"),
    ({"lines": {"TEAPOT-IRON-800": 2}}, "out_of_stock"),
]


def stock() -> dict[str, tuple[int, int]]:
    return {item.sku: (item.on_hand, item.reserved) for item in StockItem.objects.all()}


def ending(order: Order) -> str:
    order.refresh_from_db()
    return order.cancel_reason or order.state


@pytest.mark.parametrize(("wish", "end"), WAYS)
def test_order_ends_as_it_should(draft: Draft, flow: Flow, wish: dict[str, Any], end: str) -> None:
    order = operations.place_order(order=draft(**wish))

    flow.run()

    assert ending(order) == end
    assert flow.types() == [*ANNOUNCED[end], TIMER]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("wish", "end"), WAYS)
def test_disorder_and_repetition_change_no_ending(
    draft: Draft, flow: Flow, wish: dict[str, Any], end: str, seed: int
) -> None:
    order = operations.place_order(order=draft(**wish))

    flow.run(times=2, shuffle=random.Random(seed))

    assert ending(order) == end
    assert flow.types() == [*ANNOUNCED[end], TIMER]


def test_shipped_order_took_its_pieces_off_the_shelf(draft: Draft, flow: Flow) -> None:
    before = stock()
    operations.place_order(order=draft(lines={"TEA-SENCHA-100": 2}))

    flow.run()

    assert stock() == before | {"TEA-SENCHA-100": (before["TEA-SENCHA-100"][0] - 2, 0)}
    assert Payment.objects.get().state == Payment.State.RECEIVED
    assert Reservation.objects.get().state == Reservation.State.ISSUED
    assert Shipment.objects.count() == 1


@pytest.mark.parametrize(("wish", "end"), WAYS[2:])
def test_cancelled_order_leaves_stock_and_money_as_they_were_and_no_address_in_shipping(
    draft: Draft, flow: Flow, wish: dict[str, Any], end: str
) -> None:
    before = stock()
    operations.place_order(order=draft(**wish))

    flow.run()

    assert stock() == before
    assert Payment.objects.get().state in {Payment.State.DECLINED, Payment.State.REFUNDED}
    assert Shipment.objects.count() == 0
    assert Destination.objects.get().name == ""


def test_slow_bank_pays_after_some_tries(draft: Draft, flow: Flow, settings: Settings) -> None:
    order = operations.place_order(order=draft(payment_token="tok_slow_bank"))
    flow.run(keep_failures=True)
    assert [row.label for row in flow.waiting] == ["payments.take_payment"]
    assert ending(order) == "accepted"

    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.TenSecondsLater"
    flow.retry()
    flow.run()

    assert ending(order) == "shipped"
    assert flow.waiting == []


def test_order_that_nobody_can_charge_expires(draft: Draft, flow: Flow, settings: Settings) -> None:
    before = stock()
    settings.PAYMENT_GATEWAY = "tests.unit.shop.gateways.Away"
    order = operations.place_order(order=draft())
    flow.run(keep_failures=True)
    assert ending(order) == "accepted"

    del settings.PAYMENT_GATEWAY
    flow.wait(timedelta(minutes=15))
    flow.run(keep_failures=True)
    flow.retry()

    assert ending(order) == "payment_declined"
    assert order.cancel_note == "the payment took too long"
    assert Payment.objects.get().state == Payment.State.DECLINED
    assert stock() == before
    assert flow.waiting == []


@pytest.mark.parametrize(("wish", "end"), WAYS[:3])
def test_order_that_was_paid_or_declined_does_not_expire(
    draft: Draft, flow: Flow, wish: dict[str, Any], end: str
) -> None:
    order = operations.place_order(order=draft(**wish))
    flow.run()

    flow.wait(timedelta(minutes=15))
    flow.run()

    assert ending(order) == end
    assert flow.types() == [*ANNOUNCED[end], TIMER]


def test_last_item_goes_to_one_of_two_orders(draft: Draft, flow: Flow) -> None:
    orders = [operations.place_order(order=draft(lines={"TEAPOT-IRON-800": 1})) for _ in range(2)]

    flow.run()

    assert sorted(map(ending, orders)) == ["out_of_stock", "shipped"]
    assert stock()["TEAPOT-IRON-800"] == (0, 0)
    assert sorted(Payment.objects.values_list("state", flat=True)) == ["received", "refunded"]


def test_order_whose_lines_reach_the_warehouse_last_is_shipped(draft: Draft, flow: Flow) -> None:
    order = operations.place_order(order=draft())
    flow.run(contexts=["payments", "orders"])

    accepted, paid, _ = OutboxEvent.objects.order_by("pk")
    flow.deliver(paid, contexts=["inventory"])
    flow.deliver(accepted, contexts=["shipping", "inventory"])
    flow.run()

    assert ending(order) == "shipped"


def test_order_whose_lines_reach_the_warehouse_last_is_refunded_if_out_of_stock(
    draft: Draft, flow: Flow
) -> None:
    order = operations.place_order(order=draft(lines={"TEAPOT-IRON-800": 2}))
    accepted = OutboxEvent.objects.get()
    flow.run(contexts=["payments", "orders"])
    for paid in OutboxEvent.objects.exclude(pk=accepted.pk):
        flow.deliver(paid, contexts=["inventory"])

    flow.deliver(accepted, contexts=["inventory", "shipping"])
    flow.run()

    assert ending(order) == "out_of_stock"
    assert Payment.objects.get().state == Payment.State.REFUNDED


def test_order_whose_address_reaches_shipping_last_is_shipped(draft: Draft, flow: Flow) -> None:
    order = operations.place_order(order=draft())
    flow.run(contexts=["payments", "inventory", "orders"])

    accepted, _, reserved, _ = OutboxEvent.objects.order_by("pk")
    flow.deliver(reserved, contexts=["shipping"])
    flow.deliver(accepted, contexts=["shipping"])
    flow.run()

    assert ending(order) == "shipped"
