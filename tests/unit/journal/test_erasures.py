"""An erasure leaves of the errors in the journal their types alone, but of those that somebody still has to mend."""

from datetime import UTC, datetime

import pytest

from microworkflows import Subject, flows
from microworkflows.journal import erasures
from microworkflows.journal.models import Attempt, Delivery
from tests.unit.journal import rows

pytestmark = pytest.mark.django_db(databases="__all__")


def test_errors_of_what_is_done_are_erased_and_all_contexts_are_named() -> None:
    hers, anothers = rows.flow(kind="guests.guest", key="7"), rows.flow(kind="guests.guest", key="8")
    error = "ValueError: no room for Ada"
    for flow in (hers, anothers):
        arrived = rows.event(flow, "guests.arrived.v1")
        done = rows.delivery(arrived, "desk.greet", error=error)
        Attempt.objects.create(delivery=done, number=1, ending="failed", ended_at=rows.NOW, error=error)
        rows.delivery(arrived, "kitchen.cook", Delivery.Status.PARKED, error=error)
    at = datetime(2026, 5, 4, tzinfo=UTC)
    erasing = flows.Erasing(subjects=[Subject(kind="guests.guest", key="7")], events=frozenset(), at=at)

    erased = [erasures.erase(erasing) for _ in range(2)]

    assert erased == [{"errors in the journal": 2}, {"errors in the journal": 0}]
    assert erasures.contexts_of(erasing) == {"guests", "desk", "kitchen"}
    told = sorted(Delivery.objects.filter(event__flow=hers).values_list("consumer", "error"))
    assert told == [("desk.greet", "ValueError: erased on 2026-05-04"), ("kitchen.cook", error)]
    assert Attempt.objects.filter(error=error).count() == 1
    assert Delivery.objects.filter(event__flow=anothers, error=error).count() == 2
