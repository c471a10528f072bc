"""Clocks that disagree: whatever they say, no effect is drawn before its cause."""

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microworkflows.journal import clocks, journeys
from microworkflows.journal.models import Delivery, Event, Flow
from tests.unit.journal import shop
from tests.unit.journal.shop import BEGAN, seconds

HOSTS = [f"host-{number}" for number in range(5)]
MINUTES = st.floats(min_value=-300, max_value=300)


@st.composite
def happenings(draw: st.DrawFn) -> tuple[list[tuple[int, str, float]], dict[str, float]]:
    """A tree of things that happened, each with its cause's number, its host and its true time; and the clocks' errors."""
    errors = {host: draw(MINUTES) for host in HOSTS}
    made: list[tuple[int, str, float]] = [(-1, draw(st.sampled_from(HOSTS)), 0.0)]
    for _ in range(draw(st.integers(min_value=1, max_value=40))):
        cause = draw(st.integers(min_value=0, max_value=len(made) - 1))
        delay = draw(st.floats(min_value=0, max_value=60))
        made.append((cause, draw(st.sampled_from(HOSTS)), made[cause][2] + delay))
    return made, errors


@given(happenings())
@settings(max_examples=60, deadline=None)
def test_shifts_put_every_cause_before_its_effect(
    drawn: tuple[list[tuple[int, str, float]], dict[str, float]],
) -> None:
    made, errors = drawn
    read = [(host, BEGAN + seconds(at + errors[host])) for _, host, at in made]

    found = clocks.shifts(
        (read[cause], read[effect]) for effect, (cause, _, _) in enumerate(made) if cause >= 0
    )

    def shifted(reading: tuple[str, datetime]) -> datetime:
        return reading[1] + found.get(reading[0], timedelta())

    for effect, (cause, _, _) in enumerate(made):
        if cause >= 0 and read[cause][0] != read[effect][0]:
            assert shifted(read[cause]) <= shifted(read[effect]) + timedelta(microseconds=50)


def test_clocks_that_contradict_no_cause_stay_as_they_are() -> None:
    assert clocks.shifts([(("a", BEGAN), ("b", BEGAN + seconds(1)))]) == {}


def test_clock_of_known_offset_stays_and_the_other_moves() -> None:
    ahead = ("a", BEGAN + seconds(300))

    found = clocks.shifts([(ahead, (clocks.REFERENCE, BEGAN + seconds(1)))])

    assert found == {"a": seconds(-299)}


def test_contradictions_that_no_shift_can_solve_end_the_search() -> None:
    later, earlier = BEGAN + seconds(10), BEGAN

    found = clocks.shifts([(("a", later), ("b", earlier)), (("b", later), ("a", earlier))])

    assert set(found) <= {"a", "b"}


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(8))
def test_journey_over_clocks_five_minutes_apart_is_drawn_by_causation(seed: int) -> None:
    chance = random.Random(seed)
    errors = {name: seconds(chance.uniform(-300, 300)) for name in shop.LISTENERS}
    shop.contexts()
    workers = {
        name: shop.process(f"{name}@{name}-host", clock_offset=None, seen_at=BEGAN) for name in shop.LISTENERS
    }
    flow, cause, by, web = shop.flow(), None, "", errors["orders"]
    at = BEGAN
    for number, (type, consumer) in enumerate(shop.WAY):
        context = consumer.partition(".")[0]
        recorder = by.partition(".")[0]
        recorded = at + (errors[recorder] if recorder else web)
        cause = shop.event(
            flow,
            type,
            at=recorded,
            causation_id=str(cause.pk) if cause else "",
            emitted_by=by,
            relayed_at=None,
        )
        received = at + seconds(0.5) + errors[context]
        failed = number == 1
        delivery = shop.delivery(
            cause,
            consumer,
            at=received,
            process=workers[context],
            attempts=2 if failed else 1,
            handled_at=received + seconds(1),
        )
        if failed:
            shop.attempt(delivery, 1, at=received + seconds(0.02), process=workers[context])
        at, by = at + seconds(0.8), consumer

    journey = journeys.journey(flow.correlation_id, now=BEGAN + seconds(400))

    assert journey is not None
    assert [event.type for event in journey.events] == [type for type, _ in shop.WAY]
    for cause_, effect in zip(journey.events, journey.events[1:], strict=False):
        received_at = cause_.deliveries[0].received_at
        assert received_at is not None
        assert cause_.recorded_at <= received_at <= effect.recorded_at
    for delivery_ in journey.deliveries:
        ends = [delivery_.bars[0].began_at, *(bar.ended_at for bar in delivery_.bars)]
        assert ends == sorted(end for end in ends if end)
    if max(errors.values()) - min(errors.values()) > seconds(60):
        assert journey.shifts or journey.events[0].recorded_at <= journey.events[-1].recorded_at


@pytest.mark.django_db
def test_events_that_name_each_other_as_their_cause_are_shown_all_the_same() -> None:
    flow = shop.flow()
    first, second = shop.uuid(1), shop.uuid(2)
    shop.event(flow, id=first, causation_id=str(second))
    shop.event(flow, id=second, causation_id=str(first))

    journey = journeys.journey(flow.correlation_id)

    assert journey is not None
    assert {event.id for event in journey.events} == {first, second}
    assert Event.objects.count() == 2
    assert Delivery.objects.count() == 0
    assert Flow.objects.get().events_count == 2
