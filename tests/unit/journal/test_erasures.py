"""An erasure leaves of the errors in the journal their types alone, and nothing of what alarms quote, but of what somebody still has to mend."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from microworkflows import Subject, flows
from microworkflows.journal import alerts, erasures, watcher
from microworkflows.journal.models import Alarm, Alert, Attempt, Delivery, Event, Flow
from tests.unit.journal import rows
from tests.unit.journal.rows import NOW, ago

pytestmark = pytest.mark.django_db(databases="__all__")

ADA = Subject(kind="guests.guest", key="7")
ARRIVED, SERVED = "guests.arrived.v1", "kitchen.served.v1"
ERROR, ERASED = "ValueError: no room for Ada", "ValueError: erased on 2026-05-04"
TEXT = "erased on 2026-05-04"


def erasing(**values: Any) -> flows.Erasing:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    return flows.Erasing(subjects=[ADA], events=frozenset(), correlation_ids=frozenset(), at=at, **values)


@pytest.fixture
def late(settings: Settings) -> Flow:
    """Ada's flow, in which the kitchen failed for good: an alarm quotes its error, and so does the message about it."""
    settings.MICROWORKFLOWS = {"JOURNAL_ALERT_MAIL": ["ops@example.com"]}
    rows.context("guests", deadlines=[(SERVED, ARRIVED, 300)])
    rows.context("kitchen", listens=[("kitchen.cook", ARRIVED, [SERVED])])
    for name in ("guests", "kitchen"):
        rows.process("relay", name)
        rows.process("worker", name)
    flow = rows.flow(
        "Room Seven", kind=ADA.kind, key=ADA.key, began=400, due_at=ago(100), waiting_for=["kitchen.cook"]
    )
    arrived = rows.event(flow, ARRIVED, at=400)
    parked = rows.delivery(arrived, "kitchen.cook", Delivery.Status.PARKED, at=399, error=ERROR)
    Attempt.objects.create(delivery=parked, number=1, ending="parked", ended_at=NOW, error=ERROR)
    assert watcher.watch(NOW).raised == 1
    assert "for Ada" in Alarm.objects.get().details
    return flow


def test_alarm_quotes_what_somebody_has_to_mend_until_that_is_done(late: Flow) -> None:
    first = erasures.erase(erasing())

    assert first == {"errors in the journal": 0, "alarms": 0, "alerts": 1}
    assert "for Ada" in Alarm.objects.get().details
    assert Alert.objects.get().details == TEXT, "it may still be sent, to where nobody erases"
    kept = erasures.kept(erasing())
    assert [(each.what, each.number) for each in kept] == [("errors in the journal", 2), ("alarms", 1)]
    assert all("--although" in each.remedy for each in kept)

    Delivery.objects.update(status=Delivery.Status.HANDLED)
    second, third = erasures.erase(erasing()), erasures.erase(erasing())

    assert second == {"errors in the journal": 2, "alarms": 1, "alerts": 0}
    assert not any(third.values())
    assert not erasures.kept(erasing())
    alarm = Alarm.objects.get()
    assert (alarm.details, alarm.cause, alarm.owner, alarm.awaited) == (TEXT, "parked", "kitchen", SERVED)


def test_what_is_given_up_is_erased_from_the_journal_though_it_looks_open_there(late: Flow) -> None:
    rejected = rows.event(late, "guests.left.v1", status=Event.Status.REJECTED, error=ERROR)

    erased = erasures.erase(erasing(although=True))

    assert erased == {"errors in the journal": 3, "alarms": 1, "alerts": 1}
    assert Delivery.objects.get().error == Attempt.objects.get().error == ERASED
    rejected.refresh_from_db()
    assert rejected.error == ERASED
    assert not erasures.kept(erasing())


def test_closed_alarm_is_erased_whatever_is_open_in_its_flow(late: Flow) -> None:
    Alarm.objects.update(closed_at=NOW)
    alerts.note(Alarm.objects.get(), now=NOW)

    assert erasures.erase(erasing()) == {"errors in the journal": 0, "alarms": 1, "alerts": 2}
    assert {alert.details for alert in Alert.objects.all()} == {TEXT}


def test_alarm_that_quotes_nothing_and_those_of_others_stay(late: Flow) -> None:
    other = rows.flow("Room Eight", kind=ADA.kind, key="8")
    values = {"awaited": SERVED, "due_at": ago(60), "raised_at": NOW, "owner": "kitchen", "closed_at": NOW}
    idle = Alarm.objects.create(
        flow=late, of="guests.left.v1", cause="worker", details="kitchen has no worker since 02:40.", **values
    )
    quoted = Alarm.objects.create(
        flow=other, of=ARRIVED, cause="parked", details=f"It is parked: {ERROR}", **values
    )
    message = Alert.objects.create(
        id=uuid4(),
        kind="ended",
        owner="kitchen",
        cause="parked",
        awaited=SERVED,
        details=quoted.details,
        flows=[{"subject": str(each), "correlation_id": each.correlation_id} for each in (other, late)],
        began_at=NOW,
        due_at=NOW,
        error="SMTPServerDisconnected: away",
    )

    erasures.erase(erasing(although=True))

    for row, text in ((idle, idle.details), (quoted, quoted.details), (message, message.details)):
        row.refresh_from_db()
        assert row.details == text
    assert message.error == "SMTPServerDisconnected: away"


def test_errors_of_what_is_done_are_erased_and_all_contexts_are_named() -> None:
    hers, anothers = rows.flow(kind="guests.guest", key="7"), rows.flow(kind="guests.guest", key="8")
    for flow in (hers, anothers):
        arrived = rows.event(flow, "guests.arrived.v1")
        done = rows.delivery(arrived, "desk.greet", error=ERROR)
        Attempt.objects.create(delivery=done, number=1, ending="failed", ended_at=rows.NOW, error=ERROR)
        rows.delivery(arrived, "kitchen.cook", Delivery.Status.PARKED, error=ERROR)

    erased = [erasures.erase(erasing())["errors in the journal"] for _ in range(2)]

    assert erased == [2, 0]
    assert erasures.contexts_of(erasing()) == {"guests", "desk", "kitchen"}
    told = sorted(Delivery.objects.filter(event__flow=hers).values_list("consumer", "error"))
    assert told == [("desk.greet", ERASED), ("kitchen.cook", ERROR)]
    assert Attempt.objects.filter(error=ERROR).count() == 1
    assert Delivery.objects.filter(event__flow=anothers, error=ERROR).count() == 2
