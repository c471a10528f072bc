"""``manage.py purge_events --plan`` tells how long each kind of row is kept, and why, and whether anybody purges; it deletes nothing."""

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from microworkflows import DomainEvent, IncomingEvent, flows, microworkflow, purging
from microworkflows.models import OutboxEvent
from microworkflows.models import purge as notes
from microworkflows.testing import Flow

TICKED, STRUCK = "clock.ticked.v1", "clock.hour_struck.v1"


class Notebook(flows.Guest):
    """A guest that keeps notes for a week, and drafts as long as others keep rows."""

    def retentions(self, *, default: timedelta) -> dict[str, timedelta]:
        return {"notes": timedelta(days=7), "drafts": default}


@pytest.fixture(autouse=True)
def clock(empty_registry: None, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> type[DomainEvent]:
    """``clock`` announces ticks, kept for two days, and hours; of two readings of ticks, one keeps for 90 days."""

    class Ticked(DomainEvent, type=TICKED, retention=timedelta(days=2)):
        at: int

    class HourStruck(DomainEvent, type=STRUCK):
        at: int

    class TickedAtTower(IncomingEvent, type=TICKED, retention=timedelta(days=90)):
        at: int

    class TickedAtStation(IncomingEvent, type=TICKED, retention=timedelta(days=5)):
        at: int

    class Whistled(IncomingEvent, type="trains.whistled.v1"):
        at: int

    @microworkflow(on=TickedAtTower, context="tower")
    def turn_hand(event: TickedAtTower) -> None: ...

    @microworkflow(on=TickedAtStation, context="station")
    def depart(event: TickedAtStation) -> None: ...

    @microworkflow(on=Whistled, context="station")
    def announce(event: Whistled) -> None: ...

    monkeypatch.setattr(flows, "_guests", [Notebook()])
    settings.MICROWORKFLOWS = {"RETENTION_DAYS": 10, "PURGE_EVERY": 1800}
    return Ticked


def plan(*arguments: str) -> str:
    out = StringIO()
    call_command("purge_events", "--plan", *arguments, stdout=out)
    return out.getvalue()


def told(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(plan("--format", "json", *arguments))
    return found


@pytest.mark.django_db
def test_plan_names_the_age_of_each_type_and_reading_and_where_it_comes_from() -> None:
    found = told()

    assert [tuple(row.values()) for row in found["kept"]] == [
        ("outbox", STRUCK, 10.0, "RETENTION_DAYS", []),
        ("outbox", TICKED, 2.0, "declared", []),
        ("inbox", TICKED, 90.0, "declared", ["station.depart", "tower.turn_hand"]),
        ("inbox", "trains.whistled.v1", 10.0, "RETENTION_DAYS", ["station.announce"]),
    ]
    assert list(found["kept"][0]) == ["table", "type", "days", "by", "readers"]
    assert found["further"] == {
        "all other types": 10.0,
        "history, heartbeats and pauses": 10.0,
        "notes": 7.0,
        "drafts": 10.0,
    }
    assert (found["purge_every"], found["last_began_at"]) == (1800.0, None)


@pytest.mark.django_db
def test_plan_says_whether_anybody_purges_and_when_it_was_done_last(settings: Settings) -> None:
    by_relays = plan()
    notes.note_begin(before=timezone.now())
    settings.MICROWORKFLOWS = {"PURGE_EVERY": None}
    by_nobody = plan()

    assert "Relays purge by themselves every 30 min 0 s" in by_relays
    assert "nothing was purged here yet" in by_relays
    assert "No relay purges (PURGE_EVERY is None): run `manage.py purge_events` daily" in by_nobody
    assert "the last purge began" in by_nobody
    lines = [line.split() for line in by_relays.splitlines()]
    assert ["2.0", "d", "outbox", TICKED, "declared"] in lines
    assert ["90.0", "d", "inbox", TICKED, "declared", "station.depart,", "tower.turn_hand"] in lines


@pytest.mark.django_db
def test_plan_may_be_asked_of_some_types_and_shows_what_an_age_for_all_would_do() -> None:
    assert {row["type"] for row in told(TICKED)["kept"]} == {TICKED}
    assert {(row["days"], row["by"]) for row in told("--days", "3")["kept"]} == {(3.0, "--days")}
    assert told("--days", "3")["further"]["notes"] == 7.0, "the guest does not go by it"


def test_plan_deletes_nothing_and_agrees_with_the_purge(clock: Any, flow: Flow) -> None:
    flow.record(clock(at=1))
    OutboxEvent.objects.update(
        status=OutboxEvent.Status.RELAYED, added=timezone.now() - timedelta(days=2, hours=1)
    )

    plan()
    plan("--days", "1")

    assert OutboxEvent.objects.count() == 1
    assert purging.purge(now=timezone.now(), rest=lambda _: None).outbox == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--plan", "clock.tocked.v1"], "No such event type: clock.tocked.v1. Do you mean 'clock.ticked.v1'"),
        ([TICKED], "belong to --plan"),
        (["--plan", "--although-unreceived"], "deletes nothing"),
    ],
)
def test_what_is_not_meant_is_refused(arguments: list[str], problem: str) -> None:
    with pytest.raises(CommandError, match=problem) as raised:
        call_command("purge_events", *arguments)

    assert raised.value.returncode == 2


@pytest.mark.django_db
def test_purge_reports_as_json_what_it_deleted() -> None:
    out = StringIO()

    call_command("purge_events", "--format", "json", stdout=out)

    report = json.loads(out.getvalue())
    assert {name: report[name] for name in ("outbox", "inbox", "spared", "guests")} == {
        "outbox": 0,
        "inbox": 0,
        "spared": 0,
        "guests": {},
    }
