"""Two versions of one fact are one event to the journal, whoever hears which, in whatever order they are told."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from microworkflows import drift
from microworkflows.journal import journeys, observing, writing
from microworkflows.journal.models import Delivery, Event, Flow, Minute
from microworkflows.journal.writing import Memory
from tests.unit.journal.messages import BEGAN, Speaker, declared, event, handled, relayed

pytestmark = pytest.mark.django_db

V1, V2 = "orders.priced.v1", "orders.priced.v2"
DECLARED = declared(
    ("payments.take", V1, []),
    ("payments.take", V2, []),
    ("archive.file", V1, []),
    contexts=["orders", "payments", "archive"],
    outcomes={V1: "priced"},  # of code that does not know the newer one yet
)


def _told() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of the newer and the older version."""
    newer: Any = {**event(V2), "versions": [V2, V1]}
    return newer, {**newer, "type": V1}


def _write(*notices: Any) -> None:
    writing.write([Speaker("orders").says(DECLARED, *notices)], Memory())


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_versions_are_one_event_with_the_listeners_of_both(order: tuple[int, ...]) -> None:
    newer, older = _told()
    told = [relayed(newer, after=1), relayed(older, after=1), handled(newer, "payments.take", after=2)]

    _write(*(told[number] for number in order))

    (row,) = Event.objects.all()
    assert (row.type, row.types, str(row.pk)) == (V2, [V2, V1], newer["id"])
    flow = Flow.objects.get()
    assert (flow.state, flow.waiting_for, flow.events_count) == (Flow.State.ON_ITS_WAY, ["archive.file"], 1)
    shown = journeys.journey(flow.correlation_id)
    assert shown is not None
    (one,) = shown.events
    assert {each.consumer: each.status for each in one.deliveries} == {
        "payments.take": "handled",
        "archive.file": "expected",
    }


def test_flow_ends_with_either_version_and_no_edge_drifts() -> None:
    newer, older = _told()

    _write(
        relayed(newer, after=1),
        relayed(older, after=1),
        handled(newer, "payments.take", after=2),
        handled(older, "archive.file", after=3),
    )

    flow = Flow.objects.get()
    assert (flow.state, flow.outcome) == (Flow.State.DONE, "priced")
    assert Delivery.objects.count() == 2
    counted = dict(Minute.objects.exclude(consumer="").values_list("consumer", "type"))
    assert counted == {"payments.take": V2, "archive.file": V1}
    observed = observing.observed(since=BEGAN - timedelta(hours=1))
    assert {drift.edge(V1, "payments.take"), drift.edge(V2, "payments.take")} <= observed
    assert drift.edge(V1, "archive.file") in observed
    assert drift.edge(V2, "archive.file") not in observed
    assert {drift.edge("orders", V1), drift.edge("orders", V2)} <= observed
