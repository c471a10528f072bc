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
    for event_id in (hers, anothers):
        ShadowComparison.objects.create(
            workflow="desk.greet",
            event_id=event_id,
            event_type="guests.arrived.v1",
            correlation_id="guests.guest:7",
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
