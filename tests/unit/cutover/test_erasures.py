"""An erasure takes the values that differed out of shadow runs, and the texts out of errors of missed events."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.utils import timezone

from microworkflows import Subject, flows
from microworkflows.cutover.guest import Cutover
from microworkflows.cutover.models import MissedEvent, ShadowComparison


@pytest.mark.django_db
def test_values_that_differed_are_erased_and_what_differed_stays() -> None:
    hers, anothers = uuid4(), uuid4()
    differences = [{"what": "name", "legacy": "Ada", "shadow": "Ada Lovelace"}]
    for event_id, key in ((hers, 7), (anothers, 8)):
        ShadowComparison.objects.create(
            workflow="desk.greet",
            event_id=event_id,
            event_type="guests.arrived.v1",
            correlation_id=f"guests.guest:{key}",
            outcome=ShadowComparison.Outcome.DIFFERS,
            differences=differences,
            legacy_microseconds=1,
            shadow_microseconds=1,
            compared_at=timezone.now(),
        )
    MissedEvent.objects.create(
        event="guests.left.v1",
        error="ValueError: Ada has left",
        correlation_id="guests.guest:7",
        missed_at=timezone.now(),
    )
    erasing = flows.Erasing(
        subjects=[Subject(kind="guests.guest", key="7")],
        events=frozenset({hers}),
        correlation_ids=frozenset({"guests.guest:7"}),
        at=datetime(2026, 5, 4, tzinfo=UTC),
    )

    erased = [Cutover().erase(erasing) for _ in range(2)]

    assert erased == [
        {"comparisons of shadow runs": 1, "notes of missed events": 1},
        {"comparisons of shadow runs": 0, "notes of missed events": 0},
    ]
    text = "erased on 2026-05-04"
    assert ShadowComparison.objects.get(event_id=hers).differences == [
        {"what": "name", "legacy": text, "shadow": text}
    ]
    assert ShadowComparison.objects.get(event_id=anothers).differences == differences
    assert MissedEvent.objects.get().error == f"ValueError: {text}"


@pytest.mark.django_db
def test_what_is_kept_of_a_flow_with_an_id_of_its_own_is_found_by_it_though_its_events_are_purged() -> None:
    for flow in ("A-000007", "A-000008"):
        ShadowComparison.objects.create(
            workflow="desk.greet",
            event_id=uuid4(),
            event_type="guests.arrived.v1",
            correlation_id=flow,
            outcome=ShadowComparison.Outcome.DIFFERS,
            differences=[{"what": "name", "legacy": "Ada", "shadow": "Ada Lovelace"}],
            legacy_microseconds=1,
            shadow_microseconds=1,
            compared_at=timezone.now(),
        )
        MissedEvent.objects.create(
            event="guests.left.v1",
            error="ValueError: Ada has left",
            correlation_id=flow,
            missed_at=timezone.now(),
        )
    erasing = flows.Erasing(
        subjects=[Subject(kind="guests.guest", key="7")],
        events=frozenset(),
        correlation_ids=frozenset({"guests.guest:7", "A-000007"}),
        at=datetime(2026, 5, 4, tzinfo=UTC),
    )

    erased = [Cutover().erase(erasing) for _ in range(2)]

    assert erased == [
        {"comparisons of shadow runs": 1, "notes of missed events": 1},
        {"comparisons of shadow runs": 0, "notes of missed events": 0},
    ]
    compared = ShadowComparison.objects.exclude(differences__0__shadow="Ada Lovelace")
    assert [each.correlation_id for each in compared] == ["A-000007"]
    assert [each.correlation_id for each in MissedEvent.objects.exclude(error__endswith="left")] == [
        "A-000007"
    ]
