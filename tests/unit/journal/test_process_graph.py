"""The graph of the process and its picture: what is declared, what was observed, and what nobody can know."""

import re
from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microworkflows import times
from microworkflows.journal import graph, layout, picture, sums, words
from microworkflows.journal.graph import Graph, Hearing
from microworkflows.journal.models import Delivery, Flow, Gap, Minute, Process
from microworkflows.journal.windows import window
from tests.unit.journal import process_rows
from tests.unit.journal.process_rows import ACCEPTED, DECLINED, PAID, SHIPPED

NOW = times.aware(times.now())


def seen(name: str = "1h") -> Graph:
    sums.forget()
    return graph.graph(window(name, now=NOW))


def hearing(consumer: str, of: Graph) -> Hearing:
    return next(each for each in of.hearings if each.consumer == consumer)


@pytest.mark.django_db
def test_edges_are_those_that_contexts_declare_with_their_emitters() -> None:
    process_rows.contexts(NOW)

    found = seen()

    types = {each.type: each for each in found.announcements}
    assert types[ACCEPTED].sources == ()
    assert types[PAID].sources == ("payments.take_payment",)
    assert types[DECLINED].outcome == "declined"
    assert {(each.type, each.consumer) for each in found.hearings} >= {(each[0], each[1]) for each in SHIPPED}
    assert all(each.declared and not each.observed for each in found.hearings)


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "handled"), [("15m", 15 * 9), ("1h", 60 * 9), ("24h", 100 * 9)])
def test_numbers_are_those_of_the_minutes_of_the_window(name: str, handled: int) -> None:
    process_rows.contexts(NOW)
    process_rows.minutes(NOW, SHIPPED, each=9, of=100)
    Minute.objects.filter(consumer="payments.take_payment").update(failed=2, parked=1)

    take = hearing("payments.take_payment", seen(name))

    minutes = (take.handled or 0) // 9
    assert abs(minutes - handled // 9) <= 1, "the first and the last minute may lie partly in the window"
    assert (take.failed, take.parked) == (2 * minutes, minutes)
    assert take.p50 is not None
    assert take.p95 is not None
    assert 0.016 <= take.p50 <= 0.064
    assert take.p50 <= take.p95 <= 0.064


@pytest.mark.django_db
def test_what_nobody_was_heard_of_is_unknown_and_not_0() -> None:
    process_rows.contexts(NOW, untold=["shipping"])
    Process.objects.filter(contexts=["inventory"]).delete()

    found = seen()
    shapes = {each.id: each for each in picture.of_graph(found).shapes}

    assert hearing("payments.take_payment", found).handled == 0
    assert hearing("shipping.note_address", found).handled is None
    assert hearing("inventory.note_order", found).failed is None
    assert shapes["to:shipping.note_address"].lines[0][0] == str(words.UNKNOWN)
    assert ("? worker unknown", "idle") in picture.lane_texts(found.contexts["shipping"])
    assert ("? tables unknown", "idle") in picture.lane_texts(found.contexts["shipping"])
    assert ("✓ worker", "") in picture.lane_texts(found.contexts["payments"])


@pytest.mark.django_db
def test_journal_that_never_heard_of_anybody_has_an_empty_map() -> None:
    found = seen()

    assert found.heard_at is None
    assert picture.of_graph(found).shapes == ()


@pytest.mark.django_db
def test_edge_that_nobody_declared_is_drawn_so_and_a_silent_one_as_not_seen() -> None:
    process_rows.contexts(NOW)
    Minute.objects.create(at=NOW, type="billing.sent.v1", consumer="orders.mark_billed", count=1)

    found = seen()
    drawn = picture.of_graph(found)
    shapes = {each.id: each for each in drawn.shapes}
    arrows = {each.target: each for each in drawn.arrows}

    assert not hearing("orders.mark_billed", found).declared
    assert not shapes["to:orders.mark_billed"].declared
    assert not arrows["to:orders.mark_billed"].declared
    assert arrows["to:orders.mark_billed"].observed
    assert ("not declared", "bad") in shapes["to:orders.mark_billed"].lines
    assert arrows["to:payments.take_payment"].declared
    assert not arrows["to:payments.take_payment"].observed


@pytest.mark.django_db
def test_busy_edge_is_thicker_and_a_failing_one_says_so_in_words() -> None:
    process_rows.contexts(NOW)
    process_rows.minutes(NOW, SHIPPED[:1], each=500)
    process_rows.minutes(NOW, SHIPPED[1:2], each=2)
    Minute.objects.filter(consumer="payments.take_payment").update(failed=3)

    drawn = picture.of_graph(seen("15m"))
    arrows = {each.target: each for each in drawn.arrows}
    take = next(each for each in drawn.shapes if each.id == "to:payments.take_payment")

    assert arrows["to:payments.take_payment"].width > 2 * arrows["to:inventory.note_order"].width
    assert take.tone == arrows["to:payments.take_payment"].tone == "bad"
    assert ("✕ 3 failed", "bad") in take.lines


@pytest.mark.django_db
def test_what_waits_for_a_consumer_is_counted_with_its_age() -> None:
    process_rows.contexts(NOW)
    for number in range(3):
        stuck = process_rows.flow(NOW - timedelta(minutes=5 + number), SHIPPED[:1], number=number)
        Flow.objects.filter(pk=stuck.pk).update(
            state=Flow.State.ON_ITS_WAY, waiting_for=["inventory.reserve_items"]
        )
    Delivery.objects.filter(event__flow=stuck).update(
        status=Delivery.Status.PARKED, changed_at=NOW - timedelta(hours=2)
    )

    found = seen()

    waits = hearing("inventory.reserve_items", found).waiting
    assert (waits.flows, waits.more, waits.parked) == (3, False, 0)
    assert waits.since is not None
    assert timedelta(minutes=6) < NOW - times.aware(waits.since) < timedelta(minutes=8)
    parked = hearing("payments.take_payment", found).waiting
    assert (parked.flows, parked.parked, parked.since) == (0, 1, times.stored(NOW - timedelta(hours=2)))


@pytest.mark.django_db
def test_missing_notices_of_the_window_are_named() -> None:
    process_rows.contexts(NOW)
    worker = Process.objects.get(kind="worker", service="payments")
    Gap.objects.create(process=worker, first=1, number=3, since=NOW - timedelta(minutes=2), until=NOW)

    assert seen().missing == ("payments@host-1",)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30),
    st.lists(st.sampled_from("abc"), min_size=12, max_size=12),
)
def test_boxes_never_overlap_and_arrows_lead_to_the_right_but_in_circles(
    pairs: list[tuple[int, int]], lanes: list[str]
) -> None:
    boxes = [
        layout.Box(id=str(n), lane=lane, width=60.0 + 9 * (n % 3), height=20.0)
        for n, lane in enumerate(lanes)
    ]
    arrows = [(str(source), str(target)) for source, target in pairs]
    upward = [(source, target) for source, target in arrows if int(source) < int(target)]

    placed = layout.place(boxes, arrows)
    without_circles = layout.place(boxes, upward)

    for one, other in combinations(placed.boxes.values(), 2):
        apart = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart or one.y + one.height <= other.y or other.y + other.height <= one.y
    for box in placed.boxes.values():
        assert box.x + box.width <= placed.width
        assert box.y + box.height <= placed.height
    for source, target in upward:
        there = without_circles.boxes
        assert there[source].x + there[source].width < there[target].x
    assert set(placed.paths) == set(arrows)


@pytest.mark.parametrize(
    ("count", "minutes", "said"),
    [(None, 60, "unknown"), (0, 60, "0/min"), (180, 60, "3/min"), (3, 60, "3/h"), (1, 10080, "0.14/day")],
)
def test_rate_is_said_in_the_unit_in_which_it_is_a_number(
    count: int | None, minutes: float, said: str
) -> None:
    assert words.rate(count, minutes) == said


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [(0, 0, "0 %"), (1, 1000, "under 1 %"), (999, 1000, "over 99 %"), (91, 100, "91 %")],
)
def test_share_of_little_is_not_nothing(part: int, whole: int, said: str) -> None:
    assert re.sub(r"\s", " ", words.share(part, whole)) == said
