"""The journey of a flow across services: what happened, what is expected, from whom, and what stands in the way."""

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from microworkflows.journal import journeys
from microworkflows.journal.bars import Part
from microworkflows.journal.expectations import Cause
from microworkflows.journal.journeys import Journey
from microworkflows.journal.models import Context, Delivery, Event, Flow, Process
from tests.unit.journal import shop
from tests.unit.journal.shop import BEGAN, seconds

pytestmark = pytest.mark.django_db

NOW = BEGAN + timedelta(minutes=10)


def journey_of(flow: Flow) -> Journey:
    found = journeys.journey(flow.correlation_id, now=NOW)
    assert found is not None
    return found


def test_journal_does_not_know_a_flow_without_events() -> None:
    assert journeys.journey("never heard of") is None


def test_finished_order_is_done_and_expects_nothing() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow(state=Flow.State.DONE, outcome="shipped")
    shop.order(flow)

    journey = journey_of(flow)

    assert (journey.state, journey.outcome, journey.title) == ("done", "shipped", "A-000123")
    assert journey.ended
    assert [event.depth for event in journey.events] == [0, 1, 2, 3]
    assert [each.status for each in journey.deliveries] == ["handled"] * 4
    assert [bar.part for bar in journey.events[0].deliveries[0].bars] == [
        Part.OUTBOX,
        Part.QUEUE,
        Part.WORKING,
    ]
    assert journey.missing == ()


def test_stopped_worker_is_named_with_those_who_wait_for_it_and_the_command_that_starts_it() -> None:
    shop.contexts(now=NOW, silent=["shipping"])
    shop.process("shipping@host-2", seen_at=BEGAN, stopped_at=BEGAN + seconds(480))
    flow = shop.flow(waiting_for=["shipping.schedule_shipment"])
    for _ in range(36):
        shop.flow(waiting_for=["shipping.schedule_shipment"])
    shop.order(flow, steps=3)

    (expected,) = journey_of(flow).expected

    assert (expected.what, expected.cause) == ("shipping.schedule_shipment of Items reserved", Cause.WORKER)
    assert expected.reason == (
        "shipping has no worker since 02:48:00: the last was stopped; 37 flows wait. Start it:"
    )
    assert expected.command == "celery -A project worker -Q shipping"
    assert expected.is_urgent


def test_worker_that_nobody_ever_heard_of_is_unknown() -> None:
    shop.contexts(now=NOW, silent=["payments"])
    flow = shop.flow()
    shop.order(flow, steps=1)

    (expected,) = journey_of(flow).expected

    assert expected.cause is Cause.UNKNOWN
    assert "No worker of payments has ever reported" in expected.reason


def test_messages_before_it_in_the_queue_are_counted() -> None:
    shop.contexts(now=NOW)
    Process.objects.filter(kind="worker", service="payments").update(
        life={"depths": {"payments": 1200}, "handling": 4}
    )
    flow = shop.flow()
    shop.order(flow, steps=1)

    (expected,) = journey_of(flow).expected

    assert expected.cause is Cause.BACKLOG
    assert expected.reason == "1,200 messages wait in the queue of payments, 4 in hand."
    assert not expected.is_urgent


def test_event_that_left_the_queue_and_was_never_received_may_be_a_dead_letter_or_is_lost() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow()
    shop.order(flow, steps=1)

    assert journey_of(flow).expected[0].cause is Cause.LOST
    Context.objects.filter(name="payments").update(tally={"dead": 2}, tallied_at=NOW)
    assert journey_of(flow).expected[0].cause is Cause.DEAD_LETTER


def test_missing_notices_make_an_expected_delivery_unknown() -> None:
    shop.contexts(now=NOW)
    worker = Process.objects.get(kind="worker", service="payments")
    shop.gap(worker, since=BEGAN, until=BEGAN + seconds(30))
    flow = shop.flow()
    shop.order(flow, steps=1)

    journey = journey_of(flow)

    assert journey.missing == ("payments@host-1",)
    assert journey.expected[0].cause is Cause.UNKNOWN


def test_retries_parking_and_replay_are_bars_in_their_order_with_who_and_why() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow(failures_count=2)
    event = shop.event(flow)
    delivery = shop.delivery(
        event, "payments.take_payment", attempts=3, at=BEGAN + seconds(1), handled_at=BEGAN + seconds(90)
    )
    shop.attempt(delivery, 1, at=BEGAN + seconds(1.02))
    shop.attempt(delivery, 2, at=BEGAN + seconds(3), ending="parked")
    shop.attempt(delivery, 2, at=BEGAN + seconds(80), ending="replayed", by="ada", why="The bank is back.")

    made = journey_of(flow).events[0].deliveries[0]

    assert [bar.part for bar in made.bars] == [
        Part.OUTBOX, Part.QUEUE, Part.FAILED, Part.RETRY, Part.FAILED, Part.PARKED, Part.RETRY, Part.WORKING,
    ]  # fmt: skip
    assert [(act.what, act.by, act.why) for act in made.acts] == [("replayed", "ada", "The bank is back.")]
    parked = made.bars[5]
    assert parked.duration == seconds(77)


def test_parked_delivery_is_urgent_and_says_how_to_replay_it() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow(state=Flow.State.FAILED)
    event = shop.event(flow)
    shop.delivery(
        event,
        "payments.take_payment",
        status=Delivery.Status.PARKED,
        error="CardStolen: call the police",
        attempts=1,
    )

    (expected,) = journey_of(flow).expected

    assert (expected.cause, expected.is_urgent) == (Cause.PARKED, True)
    assert expected.full_reason == "It is parked after attempt 1: CardStolen: call the police"
    assert expected.command == "python manage.py replay --context payments"


def test_waiting_delivery_says_when_it_is_tried_again() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow()
    event = shop.event(flow)
    shop.delivery(
        event, "payments.take_payment", status=Delivery.Status.WAITING, error="BankAway: no answer",
        attempts=2, due_at=NOW + seconds(30),
    )  # fmt: skip

    (expected,) = journey_of(flow).expected

    assert expected.cause is Cause.RETRY
    assert expected.full_reason == "Attempt 2 failed, the next is due at 02:50:30: BankAway: no answer"


def test_unheard_event_misses_its_declared_listener() -> None:
    shop.contexts(now=NOW)
    flow = shop.flow(state=Flow.State.FAILED)
    shop.event(flow, status=Event.Status.UNHEARD)

    journey = journey_of(flow)

    assert [each.status for each in journey.deliveries] == ["missed"]
    assert journey.expected[0].cause is Cause.UNHEARD


def test_emitted_event_of_which_no_relay_tells_waits_for_its_relay() -> None:
    shop.contexts(now=NOW)
    Process.objects.filter(kind="relay", service="payments").update(stopped_at=BEGAN + seconds(60))
    flow = shop.flow()
    event = shop.event(flow)
    shop.delivery(event, "payments.take_payment", emitted=[str(shop.uuid(7))])

    journey = journey_of(flow)

    assert [(each.name, each.status) for each in journey.events] == [
        ("Order accepted", "relayed"), ("Payment received", "pending"),
    ]  # fmt: skip
    assert journey.expected[0].cause is Cause.RELAY
    assert "payments has no relay since 02:41:00" in journey.expected[0].reason


def test_missed_deadline_is_the_first_thing_told_until_the_flow_has_an_outcome() -> None:
    shop.contexts(now=NOW, within=300)
    flow = shop.flow(overdue_at=BEGAN + seconds(300))
    shop.order(flow, steps=1)

    journey = journey_of(flow)

    assert journey.state == "overdue"
    late = next(each for each in journey.expected if each.cause is Cause.DEADLINE)
    assert (late.what, late.is_urgent) == ("Shipment scheduled", True)
    assert late.reason == "It was due at 02:45:00, 5 min 0 s after Order accepted."


def test_flow_of_the_past_misses_no_deadline() -> None:
    shop.contexts(now=NOW, within=300)
    flow = shop.flow()
    shop.order(flow, steps=1)
    Event.objects.update(mark="bootstrapped")

    journey = journey_of(flow)

    assert [each for each in journey.expected if each.cause is Cause.DEADLINE] == []


def test_thousand_events_take_five_statements(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    shop.contexts(now=NOW)
    flow = shop.flow()
    events = Event.objects.bulk_create(
        Event(
            id=shop.uuid(number), flow=flow, type=shop.WAY[number % 4][0], recorded_at=BEGAN + seconds(number / 10),
            relayed_at=BEGAN + seconds(number / 10), status=Event.Status.RELAYED,
            causation_id=str(shop.uuid((number - 1) // 2)) if number > 1 else "",
        )
        for number in range(1, 1001)
    )  # fmt: skip
    Delivery.objects.bulk_create(
        Delivery(
            event=event, consumer=shop.WAY[number % 4][1], status=Delivery.Status.HANDLED,
            received_at=event.recorded_at, handled_at=event.recorded_at + seconds(0.01),
            changed_at=event.recorded_at + seconds(0.01),
        )
        for number, event in enumerate(events, start=1)
    )  # fmt: skip

    with django_assert_num_queries(5):
        journey = journeys.journey(flow.correlation_id, now=NOW)

    assert journey is not None
    assert len(journey.events) == 1000
    assert not journey.cut
