from datetime import UTC, datetime, timedelta
from io import StringIO
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from microworkflows import DomainEvent, IncomingEvent, heartbeats, journeys, microworkflow, purging
from microworkflows.errors import PermanentError
from microworkflows.models import Heartbeat, HistoryEntry, InboxEvent, OutboxEvent
from microworkflows.models import purge as notes
from microworkflows.relay import purger
from microworkflows.testing import Flow


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, with no rest between them."""
    monkeypatch.setattr(purging, "_BATCH", 2)
    monkeypatch.setattr(purging, "_REST", 0)


def age(days: float = 40) -> None:
    """Do as if everything had happened days ago."""
    then = timezone.now() - timedelta(days=days)
    OutboxEvent.objects.update(added=then)
    InboxEvent.objects.update(added=then, expires_at=then)
    HistoryEntry.objects.update(at=then)


def purge(*arguments: str) -> str:
    """Call the command, and return what it said."""
    out = StringIO()
    call_command("purge_events", *arguments, stdout=out)
    return out.getvalue()


def note_worker(*queues: str) -> None:
    """Note the heartbeat of a worker of these queues."""
    process = heartbeats.Process(worker="post@here", host="here", pid=1, started_at=timezone.now())
    heartbeats.note(process, depths=dict.fromkeys(queues), handling=0)


def flows_left() -> set[str]:
    """Return the ids of the flows of which a row is left."""
    return {row.correlation_id for row in (*OutboxEvent.objects.all(), *InboxEvent.objects.all())}


@pytest.fixture
def old_flows(post: SimpleNamespace, flow: Flow) -> dict[str, str]:
    """Flows that are 40 days old, by the name of what keeps them; three are finished."""
    made = {}
    for name, failure, contexts in (
        *((f"finished {number}", None, None) for number in range(3)),
        ("waiting", ValueError("later"), None),
        ("parked", PermanentError("never"), None),
        ("unheard", None, ["desk"]),
    ):
        post.fail = failure
        made[name] = flow.record(post.LetterWritten(letter_id=uuid4())).correlation_id
        flow.run(contexts=contexts, keep_failures=True)
    post.fail = None
    made["pending"] = flow.record(post.LetterWritten(letter_id=uuid4())).correlation_id
    age()
    return made


def test_purge_leaves_what_is_pending_unheard_waiting_or_parked(
    old_flows: dict[str, str], quick: None
) -> None:
    whole = {each: journeys.journey(old_flows[each]) for each in ("waiting", "parked", "unheard", "pending")}

    said = purge()

    assert said == (
        "Deleted 6 relayed events and 6 handled messages.\n"
        "Left 3 older rows, because their flows are unfinished.\n"
    )
    assert flows_left() == {old_flows[each] for each in whole}
    assert {each: journeys.journey(old_flows[each]) for each in whole} == whole, "the journeys stay whole"


def test_flow_is_purged_once_it_is_finished(
    old_flows: dict[str, str], post: SimpleNamespace, flow: Flow, quick: None
) -> None:
    purge()

    InboxEvent.objects.parked().dismiss(by="clerk", why="nobody needs it")
    flow.retry()
    OutboxEvent.objects.all().relay_again()
    flow.run()
    age()
    purge()

    assert flows_left() == set()
    assert not HistoryEntry.objects.exists()


def test_purge_leaves_what_is_younger_than_the_retention(old_flows: dict[str, str]) -> None:
    assert purge("--days", "41") == "Deleted 0 relayed events and 0 handled messages.\n"


def test_flow_whose_event_a_listener_has_not_received_is_unfinished(
    post: SimpleNamespace, flow: Flow, quick: None
) -> None:
    lost, gone = (flow.record(post.LetterWritten(letter_id=uuid4())) for _ in range(2))
    flow.run()
    for meta in (lost, gone):
        InboxEvent.objects.filter(msg_id=f"desk.stamp_letter:{meta.id}").delete()
    age()
    row = OutboxEvent.objects.get(pk=gone.id)
    row.headers["listeners"] = {"desk.weigh_letter": True}  # it is no more: nobody will ever receive that
    row.save()
    note_worker("desk", "archive")

    said = purge()

    assert flows_left() == {lost.correlation_id}
    assert "Left 2 older rows" in said
    assert [step.relay.status for step in journeys.journey(lost.correlation_id).steps] == [
        "relayed",
        "relayed",
    ]
    purge("--although-unreceived")
    assert flows_left() == set()


def test_flow_is_not_kept_for_a_context_whose_inbox_is_elsewhere(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    age()

    purge()  # no worker of desk was ever seen in this database

    assert flows_left() == set()


def test_purge_leaves_what_recognises_an_event_that_another_message_may_bring_back(
    post: SimpleNamespace, flow: Flow, quick: None
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        if post.scales_in_use:
            raise PermanentError("the scales are in use")

    for post.scales_in_use in (True, False):
        flow.record(post.LetterWritten(letter_id=uuid4()))
        flow.run(keep_failures=True)
    age()
    (parked,) = flow.parked

    purge()

    assert flows_left() == {parked.correlation_id}
    assert {row.label for row in InboxEvent.objects.filter(msg_id__endswith=str(parked.event_id))} == {
        "desk.stamp_letter",
        "desk.weigh_letter",
    }


@pytest.mark.django_db
def test_purge_deletes_old_heartbeats() -> None:
    for name in ("gone@here", "here@here"):
        process = heartbeats.Process(worker=name, host="here", pid=1, started_at=timezone.now())
        heartbeats.note(process, depths={"desk": None}, handling=0)
    Heartbeat.objects.filter(worker="gone@here").update(seen_at=timezone.now() - timedelta(days=40))

    assert "Deleted 1 heartbeats of workers.\n" in purge()

    assert [seen.process.worker for seen in heartbeats.workers()] == ["here@here"]


def test_purge_remembers_a_message_that_was_received_long_ago_and_handled_just_now(
    old_flows: dict[str, str], flow: Flow
) -> None:
    flow.retry()
    flow.run(keep_failures=True)

    purge()

    assert old_flows["waiting"] in flows_left()
    assert InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED, retry=1).count() == 1


def test_purge_keeps_what_tells_who_handled_an_event_as_long_as_the_event(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    age()
    OutboxEvent.objects.filter(pk=meta.id).update(status=OutboxEvent.Status.PENDING)  # to be relayed again

    purge()

    assert journeys.journey(meta.correlation_id).handled == 2
    flow.run()
    assert len(post.calls) == 2
    age()
    purge()
    assert flows_left() == set()


# A retention of one's own


@pytest.fixture
def declared(empty_registry: None) -> SimpleNamespace:
    """``clock`` announces ticks, kept for two days, and hours; ``tower`` keeps for 90 days what it has received of both."""

    class Ticked(DomainEvent, type="clock.ticked.v1", retention=timedelta(days=2)):
        at: int

    class HourStruck(DomainEvent, type="clock.hour_struck.v1"):
        at: int

    class TickedAtTower(IncomingEvent, type="clock.ticked.v1", retention=timedelta(days=90)):
        at: int

    class StruckAtTower(IncomingEvent, type="clock.hour_struck.v1"):
        at: int

    @microworkflow(on=TickedAtTower, context="tower")
    def turn_hand(event: TickedAtTower) -> None: ...

    @microworkflow(on=StruckAtTower, context="tower")
    def ring_bell(event: StruckAtTower) -> None: ...

    return SimpleNamespace(Ticked=Ticked, HourStruck=HourStruck)


def test_type_may_declare_a_retention_of_its_own(declared: SimpleNamespace, flow: Flow, quick: None) -> None:
    for number in range(3):
        flow.record(declared.Ticked(at=number))
        flow.record(declared.HourStruck(at=number))
    flow.run()

    def left() -> tuple[list[str], list[str]]:
        return flow.types(), sorted(row.type for row in InboxEvent.objects.all())

    ticks, hours = ["clock.ticked.v1"] * 3, ["clock.hour_struck.v1"] * 3
    for days, expected in (
        (1, (sorted(ticks + hours), hours + ticks)),
        (3, (hours, hours + ticks)),
        (40, ([], ticks)),
        (91, ([], [])),
    ):
        age(days)
        purge()
        events, messages = left()
        assert (sorted(events), messages) == (sorted(expected[0]), sorted(expected[1])), days
    flow.record(declared.HourStruck(at=1))
    age(days=3)
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    assert "Deleted 1 relayed" in purge("--days", "2"), "--days overrules them"


@pytest.mark.parametrize(
    "given", [{"retention": timedelta(hours=23), "type": "clock.ticked.v1"}, {"retention": timedelta(days=3)}]
)
def test_retention_is_of_a_type_and_at_least_a_day(empty_registry: None, given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="Write at least a day, such as retention="):

        class Ticked(DomainEvent, **given):
            at: int


def test_journey_tells_what_was_purged_from_what_is_younger(declared: SimpleNamespace, flow: Flow) -> None:
    """By what the last purge noted, not by the setting, which may have changed since."""
    meta = flow.record(declared.Ticked(at=1))
    flow.run()
    body = {
        **OutboxEvent.objects.get().body,
        "time": f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}",
    }
    InboxEvent.objects.update(body=body)
    age(days=3)
    before = journeys.journey(meta.correlation_id).steps[0].relay.status

    purge()

    assert (before, journeys.journey(meta.correlation_id).steps[0].relay.status) == ("relayed", "purged")


# By itself, and at what cost


@pytest.mark.django_db
def test_one_of_several_processes_purges_once_it_is_time() -> None:
    hour = timedelta(hours=1)

    turns = [notes.take_turn(every=hour) for _ in range(3)]
    notes.note_end(deleted=0, spared=0)

    assert turns == [True, False, False]
    assert purger.look(every=hour, rest=lambda _: None) is None
    assert purger.look(every=timedelta(0), rest=lambda _: None) is not None
    last = notes.last()
    assert last is not None
    assert last.ended_at


def test_unfinished_flows_cost_no_query_for_each_row(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "_REST", 0)
    note_worker("desk", "archive")
    counts = []
    for number in (2, 40):
        for _ in range(number):
            flow.record(post.LetterWritten(letter_id=uuid4()))
        flow.run()
        age()
        with CaptureQueriesContext(connection) as queries:
            assert f"Deleted {2 * number} relayed events and {2 * number} handled" in purge()
        counts.append(len(queries))

    assert counts[1] <= counts[0]
