"""What events make of an order: forward only, once, and one final state."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from orders import events, operations, workflows
from orders.models import Order
from tests.unit.shop.conftest import Draft

Step = Callable[[Order], Any]


def paid(order: Order) -> None:
    workflows.mark_paid([events.PaymentReceived(order_id=order.pk)])


def reserved(order: Order) -> None:
    workflows.mark_reserved([events.ItemsReserved(order_id=order.pk)])


def shipped(order: Order) -> None:
    workflows.mark_shipped([events.ShipmentScheduled(order_id=order.pk)])


def declined(order: Order) -> None:
    workflows.cancel_declined(events.PaymentDeclined(order_id=order.pk, reason="card declined"))


def refunded(order: Order) -> None:
    workflows.cancel_refunded(events.PaymentRefunded(order_id=order.pk))


@pytest.fixture
def order(draft: Draft) -> Order:
    return operations.place_order(order=draft())


def test_order_goes_from_accepted_to_shipped(order: Order) -> None:
    states = [order.state]

    for step in (paid, reserved, shipped):
        step(order)
        order.refresh_from_db()
        states.append(order.state)

    assert states == ["accepted", "paid", "reserved", "shipped"]


@pytest.mark.parametrize("steps", list(itertools.permutations([paid, reserved, shipped])))
def test_order_ends_shipped_in_whatever_order_the_news_comes(order: Order, steps: tuple[Step, ...]) -> None:
    for step in (*steps, *steps):
        step(order)

    order.refresh_from_db()
    assert order.state == Order.State.SHIPPED


@pytest.mark.parametrize("steps", list(itertools.permutations([paid, reserved, shipped])))
def test_progress_is_never_taken_back(order: Order, steps: tuple[Step, ...]) -> None:
    ranks = []

    for step in steps:
        step(order)
        order.refresh_from_db()
        ranks.append(list(Order.State.values).index(order.state))

    assert ranks == sorted(ranks)


def test_declined_payment_cancels_the_order_and_says_why(order: Order) -> None:
    declined(order)
    declined(order)

    order.refresh_from_db()
    assert order.state == Order.State.CANCELLED
    assert order.cancel_reason == Order.CancelReason.PAYMENT_DECLINED
    assert order.cancel_note == "card declined"


def test_reason_that_is_too_long_is_shortened(order: Order) -> None:
    workflows.cancel_declined(events.PaymentDeclined(order_id=order.pk, reason="x" * 500))

    order.refresh_from_db()
    assert order.cancel_note == "x" * 200


@pytest.mark.parametrize("steps", [(paid, refunded), (refunded, paid), (refunded, refunded, paid)])
def test_refund_cancels_the_order_in_any_order_of_arrival(order: Order, steps: tuple[Step, ...]) -> None:
    for step in steps:
        step(order)

    order.refresh_from_db()
    assert order.state == Order.State.CANCELLED
    assert order.cancel_reason == Order.CancelReason.OUT_OF_STOCK


@pytest.mark.parametrize("late", [paid, reserved, shipped])
def test_cancelled_order_stays_cancelled(order: Order, late: Step) -> None:
    declined(order)

    late(order)

    order.refresh_from_db()
    assert order.state == Order.State.CANCELLED


@pytest.mark.parametrize("late", [declined, refunded])
def test_shipped_order_stays_shipped(order: Order, late: Step) -> None:
    shipped(order)

    late(order)

    order.refresh_from_db()
    assert order.state == Order.State.SHIPPED
    assert order.cancel_reason == ""


@pytest.mark.parametrize("step", [paid, reserved, shipped, declined, refunded])
def test_news_of_an_unknown_order_is_a_permanent_error(db: None, step: Step) -> None:
    with pytest.raises(operations.UnknownOrderError, match="There is no order"):
        step(Order(pk=uuid4()))


@pytest.mark.parametrize("step", [paid, declined])
def test_news_of_a_draft_is_a_permanent_error(draft: Draft, step: Step) -> None:
    order = draft()

    with pytest.raises(operations.OrderNotPlacedError, match="is a draft"), transaction.atomic():
        step(order)

    order.refresh_from_db()
    assert order.is_draft
