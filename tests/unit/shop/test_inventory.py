"""Inventory: reserving all or nothing in any order of arrival, issuing once, and stock that is never negative."""

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from inventory import events, operations, workflows
from inventory.events import ItemsReserved, MissingLine, OutOfStock, ReservedLine
from inventory.models import Reservation, ReservationLine, StockItem

Step = Callable[[UUID], Any]
TEA, MUG, GONE = "TEA-SENCHA-100", "MUG-STONE-350", "CUP-RAKU-LTD"


@pytest.fixture(autouse=True)
def stock(db: None) -> None:
    """Ten teas, two mugs, and a shelf that is empty."""
    for sku, on_hand in ((TEA, 10), (MUG, 2), (GONE, 0)):
        operations.count_stock(sku=sku, on_hand=on_hand)


def accepted(order_id: UUID, *lines: tuple[str, int]) -> Any:
    wanted = [
        events.OrderedLine(sku=sku, quantity=quantity) for sku, quantity in lines or [(TEA, 3), (MUG, 1)]
    ]
    (emitted,) = workflows.note_order([events.OrderAccepted(order_id=order_id, lines=wanted)])
    return emitted


def paid(order_id: UUID) -> Any:
    (emitted,) = workflows.reserve_items([events.PaymentReceived(order_id=order_id)])
    return emitted


def declined(order_id: UUID) -> None:
    workflows.forget_order(events.PaymentDeclined(order_id=order_id))


def shipped(order_id: UUID) -> None:
    workflows.issue_items([events.ShipmentScheduled(order_id=order_id)])


def levels(sku: str) -> tuple[int, int]:
    item = StockItem.objects.get(sku=sku)
    return item.on_hand, item.reserved


@pytest.mark.parametrize("steps", list(itertools.permutations([accepted, paid])))
def test_whichever_news_comes_second_reserves(steps: tuple[Step, Step]) -> None:
    order_id = uuid4()

    first, second = (step(order_id) for step in steps)

    reservation = Reservation.objects.get()
    assert first is None
    assert second == ItemsReserved(
        order_id=order_id,
        reservation_id=reservation.pk,
        lines=[ReservedLine(sku=MUG, quantity=1), ReservedLine(sku=TEA, quantity=3)],
    )
    assert reservation.state == Reservation.State.RESERVED
    assert (levels(TEA), levels(MUG)) == ((10, 3), (2, 1))


@pytest.mark.parametrize(
    "steps", list(dict.fromkeys(itertools.permutations([accepted, accepted, paid, paid])))
)
def test_repeated_news_reserves_once(steps: tuple[Step, ...]) -> None:
    order_id = uuid4()

    emitted = [step(order_id) for step in steps]

    assert len([event for event in emitted if event is not None]) == 1
    assert (levels(TEA), levels(MUG)) == ((10, 3), (2, 1))


@pytest.mark.parametrize("steps", list(itertools.permutations([accepted, paid])))
def test_unavailable_product_is_out_of_stock(steps: tuple[Step, Step]) -> None:
    order_id = uuid4()
    operations.count_stock(sku=TEA, on_hand=0)
    operations.count_stock(sku=MUG, on_hand=0)

    first, second = (step(order_id) for step in steps)

    assert first is None
    assert second == OutOfStock(
        order_id=order_id,
        missing=[
            MissingLine(sku=MUG, wanted=1, available=0),
            MissingLine(sku=TEA, wanted=3, available=0),
        ],
    )
    assert Reservation.objects.get().state == Reservation.State.REFUSED


def test_partly_available_order_reserves_nothing_and_lists_what_is_short() -> None:
    order_id = uuid4()
    accepted(order_id, (TEA, 3), (MUG, 5), (GONE, 1))

    emitted = paid(order_id)

    assert emitted == OutOfStock(
        order_id=order_id,
        missing=[
            MissingLine(sku=GONE, wanted=1, available=0),
            MissingLine(sku=MUG, wanted=5, available=2),
        ],
    )
    assert [levels(sku) for sku in (TEA, MUG, GONE)] == [(10, 0), (2, 0), (0, 0)]


def test_product_that_was_never_on_a_shelf_is_out_of_stock() -> None:
    order_id = uuid4()
    accepted(order_id, ("UNHEARD-OF", 1))

    emitted = paid(order_id)

    assert emitted.missing == [MissingLine(sku="UNHEARD-OF", wanted=1, available=0)]


def test_refused_order_stays_refused_when_stock_comes_in() -> None:
    order_id = uuid4()
    accepted(order_id, (GONE, 1))
    paid(order_id)
    operations.count_stock(sku=GONE, on_hand=5)

    emitted = [accepted(order_id, (GONE, 1)), paid(order_id)]

    assert emitted == [None, None]
    assert levels(GONE) == (5, 0)


def test_what_is_reserved_is_not_available_to_the_next_order() -> None:
    winner, loser = uuid4(), uuid4()
    for order_id in (winner, loser):
        accepted(order_id, (MUG, 2))

    emitted = [paid(winner), paid(loser)]

    assert isinstance(emitted[0], ItemsReserved)
    assert emitted[1] == OutOfStock(order_id=loser, missing=[MissingLine(sku=MUG, wanted=2, available=0)])
    assert levels(MUG) == (2, 2)


def test_lines_of_one_product_are_added_up() -> None:
    order_id = uuid4()
    accepted(order_id, (MUG, 1), (MUG, 2))

    emitted = paid(order_id)

    assert emitted.missing == [MissingLine(sku=MUG, wanted=3, available=2)]


@pytest.mark.parametrize("steps", list(itertools.permutations([accepted, declined])))
def test_declined_order_is_dropped_in_any_order_of_arrival(steps: tuple[Step, Step]) -> None:
    order_id = uuid4()

    emitted = [step(order_id) for step in (*steps, *steps)]

    assert set(emitted) == {None}
    assert Reservation.objects.get().state == Reservation.State.DROPPED
    assert not ReservationLine.objects.exists()


def test_reserved_order_is_not_dropped() -> None:
    order_id = uuid4()
    accepted(order_id)
    paid(order_id)

    declined(order_id)

    assert Reservation.objects.get().state == Reservation.State.RESERVED


def test_shipped_items_leave_the_shelf_once() -> None:
    order_id = uuid4()
    accepted(order_id)
    paid(order_id)

    shipped(order_id)
    shipped(order_id)

    assert Reservation.objects.get().state == Reservation.State.ISSUED
    assert (levels(TEA), levels(MUG)) == ((7, 0), (1, 0))


@pytest.mark.parametrize("earlier", [[], [accepted], [accepted, declined]])
def test_parcel_without_a_reservation_is_an_error_that_may_be_retried(earlier: list[Step]) -> None:
    order_id = uuid4()
    for step in earlier:
        step(order_id)

    with pytest.raises(operations.NotReservedError, match="yet its parcel leaves"):
        shipped(order_id)


@pytest.mark.parametrize("values", [{"on_hand": -1}, {"reserved": -1}, {"on_hand": 1, "reserved": 2}])
def test_database_refuses_impossible_stock(values: dict[str, int]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        StockItem.objects.filter(sku=TEA).update(**values)


def test_database_refuses_a_second_reservation_of_an_order() -> None:
    order_id = uuid4()
    accepted(order_id)

    with pytest.raises(IntegrityError), transaction.atomic():
        Reservation.objects.create(order_id=order_id)


@pytest.mark.parametrize("state", ["reserved", "issued", "refused"])
def test_database_refuses_a_decision_about_an_unpaid_order(state: str) -> None:
    accepted(uuid4())

    with pytest.raises(IntegrityError), transaction.atomic():
        Reservation.objects.update(state=state)


def test_count_below_what_is_reserved_is_refused() -> None:
    order_id = uuid4()
    accepted(order_id)
    paid(order_id)

    with pytest.raises(ValidationError, match="3 pieces of TEA-SENCHA-100 are reserved"):
        operations.count_stock(sku=TEA, on_hand=2)

    assert levels(TEA) == (10, 3)


def test_count_of_an_impossible_sku_is_refused() -> None:
    with pytest.raises(ValidationError, match="capitals, digits and single hyphens"):
        operations.count_stock(sku="no such sku", on_hand=1)


@pytest.mark.parametrize(
    ("available", "exactly", "on_hand"), [(5, False, 10), (20, False, 23), (5, True, 8), (0, True, 3)]
)
def test_restocking_counts_what_is_available(available: int, exactly: bool, on_hand: int) -> None:
    order_id = uuid4()
    accepted(order_id)
    paid(order_id)

    operations.restock(sku=TEA, available=available, exactly=exactly)

    assert levels(TEA) == (on_hand, 3)
