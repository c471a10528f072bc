"""What the metrics tell of outbox, inbox, workers, relays and queues."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connections, transaction
from django_outbox_pattern.models import Published, Received

from microworkflows import celery_app, declared, flows, heartbeats, ids, outbox, registry, times, topology
from microworkflows.heartbeats import Process
from microworkflows.metrics import broker, processes, tables
from microworkflows.models import DUE_AT_ONCE, Header, Heartbeat, InboxEvent, OutboxEvent, message_id
from microworkflows.relay.leadership import leadership
from microworkflows.testing import Flow
from tests.unit.test_timers import be_overdue, invoices, sent, timer  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db


def record(post: SimpleNamespace, number: int = 1) -> list[UUID]:
    with transaction.atomic():
        return [outbox.record(post.LetterWritten(letter_id=uuid4())).id for _ in range(number)]


def receive(label: str, *, status: InboxEvent.Status) -> None:
    Received.objects.create(
        msg_id=message_id(label, ids.uuid7()),
        headers={Header.TYPE: "letters.letter_written.v1", Header.CORRELATION_ID: "1"},
        status=status,
        expires_at=times.stored(DUE_AT_ONCE),
    )


def test_events_that_are_not_relayed_are_counted_by_context_and_status(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    _, *others = record(post, 5)
    for event, status in zip(
        others,
        (
            OutboxEvent.Status.UNHEARD,
            OutboxEvent.Status.UNHEARD,
            OutboxEvent.Status.REJECTED,
            OutboxEvent.Status.RELAYED,
        ),
        strict=True,
    ):
        OutboxEvent.objects.filter(pk=event).update(status=status)

    found = told(tables.outbox())

    assert found["outbox_events", "letters", "pending"] == 1
    assert found["outbox_events", "letters", "unheard"] == 2
    assert found["outbox_events", "letters", "rejected"] == 1
    assert found["outbox_events", "desk", "pending"] == 0
    assert 0 <= found["outbox_oldest_pending_seconds", "letters"] < 60
    assert found["outbox_oldest_pending_seconds", "desk"] == 0


def test_oldest_pending_event_tells_its_age_though_a_younger_one_was_relayed(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    old, young = record(post, 2)
    OutboxEvent.objects.filter(pk=young).update(status=OutboxEvent.Status.RELAYED)
    row = Published.objects.get(pk=old)
    row.delete()
    row.pk = UUID(int=old.int - (5 * 60 * 1000 << 80))
    Published.objects.bulk_create([row])

    assert told(tables.outbox())["outbox_oldest_pending_seconds", "letters"] == pytest.approx(300, abs=30)


def test_rows_that_the_library_wrote_itself_are_not_counted(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    Published.objects.create(destination="letters.foreign", body={})
    Received.objects.create(msg_id="foreign", status=InboxEvent.Status.PARKED)

    outbox, inbox = told(tables.outbox()), told(tables.inbox())

    assert outbox["outbox_events", "letters", "pending"] == 0
    assert outbox["outbox_oldest_pending_seconds", "letters"] == 0
    assert sum(inbox.values()) == 0


def test_messages_that_are_not_handled_are_counted_by_microworkflow_and_status(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    receive("desk.stamp_letter", status=InboxEvent.Status.WAITING)
    receive("desk.stamp_letter", status=InboxEvent.Status.PARKED)
    receive("desk.stamp_letter", status=InboxEvent.Status.PARKED)
    receive("desk.stamp_letter", status=InboxEvent.Status.HANDLED)
    receive("desk", status=InboxEvent.Status.WAITING)

    assert told(tables.inbox()) == {
        ("inbox_messages", "desk", "desk.stamp_letter", "waiting"): 1,
        ("inbox_messages", "desk", "desk.stamp_letter", "parked"): 2,
        ("inbox_messages", "archive", "archive.file_letter", "waiting"): 0,
        ("inbox_messages", "archive", "archive.file_letter", "parked"): 0,
        ("inbox_messages", "desk", "", "waiting"): 1,
        ("inbox_messages", "desk", "", "parked"): 0,
    }


def test_workers_are_alive_silent_stopped_or_gone(post: SimpleNamespace, told: Callable[..., Any]) -> None:
    ages = {"lives": 1, "silent": 60, "stopped": 60, "gone": 7200}
    for name, age in ages.items():
        process = Process(worker=f"{name}@here", host="here", pid=age, started_at=times.now())
        heartbeats.note(process, depths={"desk": 0}, handling=0)
        if name == "stopped":
            heartbeats.note_stop(process)
        Heartbeat.objects.filter(worker=f"{name}@here").update(seen_at=times.now() - timedelta(seconds=age))

    found = told(processes.workers())

    assert found["workers", "desk", "alive"] == 1
    assert found["workers", "desk", "silent"] == 1
    assert 0 <= found["heartbeat_age_seconds", "desk"] < 15
    assert found["workers", "archive", "alive"] == 0
    assert ("heartbeat_age_seconds", "archive") not in found


def test_of_a_context_in_another_database_nothing_is_told(
    post: SimpleNamespace, told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.router, "contexts_elsewhere", lambda: ("desk",), raising=False)

    for part in (tables.outbox, tables.inbox, processes.workers, processes.relays):
        labels = [labels for _, *labels in told(part())]
        assert ["archive"] in [each[:1] for each in labels]
        assert ["desk"] not in [each[:1] for each in labels]


@pytest.mark.django_db(transaction=True)  # PostgreSQL shows one transaction the same sessions throughout
def test_relay_that_leads_is_told_from_one_that_stands_by(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    assert told(processes.relays())["relay_leads", "desk"] == 0
    sessions = [connections.create_connection("default") for _ in range(2)]
    first, second = (leadership(session, "desk") for session in sessions)
    try:
        assert first.acquire()
        assert not second.acquire()

        found = told(processes.relays())

        assert found["relay_leads", "desk"] == 1
        assert found["relay_leads", "archive"] == 0
        if sessions[0].vendor == "postgresql":
            assert found["relays_standing_by", "desk"] == 1
            assert 0 <= found["relay_leader_silent_seconds", "desk"] < 30
    finally:
        first.release()
        for session in sessions:
            session.close()
    assert told(processes.relays())["relay_leads", "desk"] == 0


def test_queues_are_counted_at_the_broker_and_one_that_nobody_declared_is_absent(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    with celery_app.get().connection_for_write() as connection:
        channel: Any = connection.channel()
        for label in ("desk", "archive", "letters"):
            channel.queue_delete(label)
            channel.queue_delete(f"{label}.dead")
        assert told(broker.queues()) == {}
        topology.declare(channel)
        channel.queue_delete("archive.dead")
        for queue, number in (("desk", 2), ("desk.dead", 1)):
            for _ in range(number):
                connection.Producer(channel).publish({}, exchange="microworkflows", routing_key=queue)

        found = told(broker.queues())

        assert found["queue_messages", "desk"] == 2
        assert found["queue_consumers", "desk"] == 0
        assert found["dead_letters", "desk"] == 1
        assert found["queue_messages", "archive"] == 0
        assert ("dead_letters", "archive") not in found


def test_queue_on_record_that_no_app_declares_any_more_is_counted(
    post: SimpleNamespace, told: Callable[..., Any]
) -> None:
    with celery_app.get().connection_for_write() as connection:
        channel: Any = connection.channel()
        topology.declare(channel)
        declared.note(topology.bindings())
        assert told(broker.left_behind()) == {}
        registry._workflows[:] = [post.stamp_letter]
        connection.Producer(channel).publish({}, exchange="microworkflows", routing_key="archive")

        found = told(broker.left_behind())

        assert found["queue_messages", "archive"] == 1
        assert found["queue_consumers", "archive"] == found["dead_letters", "archive"] == 0
        assert ("queue_messages", "desk") not in found
        for label in ("desk", "archive", "letters"):
            channel.queue_delete(label)
            channel.queue_delete(f"{label}.dead")


def test_count_of_what_waits_ends_at_its_bound(
    post: SimpleNamespace, told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST", 2)
    record(post, 3)
    for _ in range(3):
        receive("desk.stamp_letter", status=InboxEvent.Status.PARKED)

    assert told(tables.outbox())["outbox_events", "letters", "pending"] == 2
    assert told(tables.inbox())["inbox_messages", "desk", "desk.stamp_letter", "parked"] == 2


def test_timer_is_no_old_pending_event_until_it_is_overdue(
    invoices: SimpleNamespace,  # noqa: F811
    flow: Flow,
) -> None:
    sent(invoices, flow)
    before = {(each.metric.name, *each.labels): each.value for each in tables.outbox()}
    be_overdue(timer())

    ages = {each.labels: each.value for each in tables.outbox() if "oldest" in each.metric.name}

    assert not [name for name, value in before.items() if value]
    assert ages["billing",] >= 3_600
    assert ages["cashier",] == 0
