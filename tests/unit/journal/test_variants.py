"""The name of the way that a flow went, and the histograms in which hops are counted."""

import math
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microworkflows.journal import histograms, variants
from microworkflows.journal.models import Delivery, Event
from microworkflows.journal.variants import Step

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def event(event_type: str, *, cause: Event | None = None, by: str = "") -> Event:
    return Event(
        id=uuid4(),
        type=event_type,
        emitted_by=by,
        causation_id="" if cause is None else str(cause.id),
        recorded_at=NOW,
    )


def delivery(
    to: Event, consumer: str, *emitted: Event, status: int = Delivery.Status.HANDLED, attempts: int = 1
) -> Delivery:
    return Delivery(
        event=to,
        consumer=consumer,
        status=status,
        received_at=NOW,
        attempts=attempts,
        emitted=[str(each.id) for each in emitted],
    )


def shipped(*, attempts: int = 1) -> tuple[list[Event], list[Delivery]]:
    accepted = event("orders.order_accepted.v1")
    paid = event("payments.payment_received.v1", cause=accepted, by="payments.take_payment")
    return [accepted, paid], [
        delivery(accepted, "payments.take_payment", paid, attempts=attempts),
        delivery(accepted, "shipping.note_address"),
        delivery(paid, "orders.mark_paid"),
    ]


def test_way_of_a_flow_is_who_took_which_event_and_emitted_what() -> None:
    assert variants.way(*shipped()) == {
        Step("", "", "orders.order_accepted.v1"),
        Step("orders.order_accepted.v1", "payments.take_payment", "payments.payment_received.v1"),
        Step("orders.order_accepted.v1", "shipping.note_address", ""),
        Step("payments.payment_received.v1", "orders.mark_paid", ""),
    }


def test_order_of_rows_times_and_attempts_make_no_other_variant() -> None:
    events, deliveries = shipped(attempts=7)
    random.Random(1).shuffle(events)
    for each in events:
        each.recorded_at += timedelta(minutes=random.Random(each.type).randrange(-5, 5))

    assert variants.variant(events, reversed(deliveries)) == variants.variant(*shipped())
    assert len(variants.variant(events, deliveries)) == 16


def test_repeated_step_makes_no_other_variant_and_another_consumer_does() -> None:
    events, deliveries = shipped()
    again = event("payments.payment_received.v1", cause=events[0], by="payments.take_payment")
    same = variants.variant([*events, again], [*deliveries, delivery(again, "orders.mark_paid")])
    other = variants.variant(events, deliveries[:-1])

    assert same == variants.variant(*shipped())
    assert other != same


def test_way_is_the_same_whether_the_relay_or_the_worker_told_who_emitted_an_event() -> None:
    by_relay, by_worker = shipped(), shipped()
    for told in by_relay[1]:
        told.emitted = []
    for untold in by_worker[0]:
        untold.emitted_by = untold.causation_id = ""

    assert variants.variant(*by_relay) == variants.variant(*by_worker) == variants.variant(*shipped())


def test_open_delivery_is_no_step_yet_and_a_dismissed_one_is_a_step_of_its_own() -> None:
    events, deliveries = shipped()
    deliveries[1].status = Delivery.Status.PARKED
    without = variants.way(events, deliveries)
    deliveries[1].status = Delivery.Status.DISMISSED

    assert Step("orders.order_accepted.v1", "shipping.note_address", "") not in without
    assert variants.way(events, deliveries) - without == {
        Step("orders.order_accepted.v1", "shipping.note_address", "", dismissed=True)
    }


def test_event_whose_cause_is_in_another_flow_begins_its_own() -> None:
    orphan = event("orders.order_accepted.v1")
    orphan.causation_id = str(UUID(int=7))

    assert variants.way([orphan], []) == {Step("", "", "orders.order_accepted.v1")}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(-300.0, 0), (0.0, 0), (0.0009, 0), (0.001, 1), (0.003, 2), (1.0, 10), (1e12, 40)]
)
def test_duration_is_counted_by_the_power_of_two_of_its_milliseconds(seconds: float, bucket: int) -> None:
    assert histograms.bucket(seconds) == bucket


@given(st.lists(st.floats(0, 1e5), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_quantile_is_wrong_by_less_than_a_factor_of_two(durations: list[float], share: float) -> None:
    halves: list[list[int]] = [[], []]
    for number, seconds in enumerate(durations):
        halves[number % 2] = histograms.counted(seconds, halves[number % 2])
    exact = sorted(durations)[max(0, math.ceil(len(durations) * share) - 1)]
    lower, upper = histograms.bounds(histograms.bucket(exact))

    found = histograms.quantile(histograms.added(*halves), share)

    assert found is not None
    assert lower <= found <= upper


def test_quantile_of_nothing_is_unknown() -> None:
    assert histograms.quantile([], 0.5) is None
    assert histograms.quantile([0, 0], 0.5) is None
