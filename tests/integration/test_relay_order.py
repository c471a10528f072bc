"""The relay brings what was recorded to the broker: everything, in order, as the wire says."""

import threading
import time
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from kombu import Connection
from pytest_django import Settings

from microworkflows import outbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import OutboxEvent
from microworkflows.relay.loop import Relay
from tests.integration.conftest import StartRelay
from tests.integration.support import processes
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, Whispered, ask
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def none_pending() -> bool:
    return not OutboxEvent.objects.pending().exists()


def test_thousands_of_events_arrive_once_and_in_the_order_recorded(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 70}
    recorded = ask(3000)

    relay(broker.url)

    eventually(none_pending, what="everything relayed")
    arrived = broker.take("echo", 3000)
    assert [message.number for message in arrived] == list(range(3000))
    assert [message.properties["message_id"] for message in arrived] == [str(meta.id) for meta in recorded]
    assert set(OutboxEvent.objects.values_list("status", flat=True)) == {OutboxEvent.Status.RELAYED}
    assert broker.count("probe") == 3000


def test_message_is_a_persistent_cloudevent_that_names_itself(relay: StartRelay, broker: Broker) -> None:
    (meta,) = ask()

    relay(broker.url)

    (message,) = broker.take("echo", 1)
    assert message.properties["content_type"] == "application/cloudevents+json"
    assert message.properties["delivery_mode"] == 2
    assert message.properties["message_id"] == str(meta.id)
    assert CloudEvent.from_json(message.body).meta == meta


@pytest.mark.slow
def test_concurrent_recorders_lose_nothing_and_each_keeps_its_order(
    relay: StartRelay, broker: Broker, launch: Launcher, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 20}
    relay(broker.url)
    processes = [launch.manage("probe_record", f"process {n}", "--count", "150") for n in range(2)]

    def record(recorder: str) -> None:
        ask(150, per_transaction=3, recorder=recorder)
        connection.close()

    threads = [threading.Thread(target=record, args=[f"thread {n}"]) for n in range(3)]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()
    for process in processes:
        assert process.wait() == 0, process.output
    by_recorder: dict[str, list[int]] = {}
    for message in broker.take("echo", 5 * 150):
        by_recorder.setdefault(message.event["data"]["recorder"], []).append(message.number)
    assert len(by_recorder) == 5
    assert all(numbers == list(range(150)) for numbers in by_recorder.values())


def test_events_of_one_transaction_keep_their_order_though_it_ends_while_a_backlog_is_relayed(
    database: str, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 2, "RELAY_POLL": 600.0}
    has_begun, may_end = threading.Event(), threading.Event()

    def record_slowly() -> None:
        with transaction.atomic():
            outbox.record(Asked(number=1))
            has_begun.set()
            assert may_end.wait(60)
            with transaction.atomic():  # whose rows PostgreSQL notes under another number
                outbox.record(Asked(number=2))
        connection.close()

    slow = threading.Thread(target=record_slowly)
    slow.start()
    assert has_begun.wait(60)
    ask(6, start=10)
    ours = Relay("probe", broker=lambda: Connection(broker.url), stop=threading.Event())

    ours._relay_events()  # looks everywhere
    ours._relay_events()  # goes on from there
    may_end.set()
    slow.join()
    while OutboxEvent.objects.pending().exists():
        ours._relay_events()
    ours._pipeline.close()

    numbers = [message.number for message in broker.take("echo", 8)]
    assert [number for number in numbers if number < 10] == [1, 2]
    assert [number for number in numbers if number >= 10] == [10, 11, 12, 13, 14, 15]


def test_events_nobody_hears_are_counted_and_relayed_again_once_a_queue_is_bound(
    relay: StartRelay, broker: Broker, launch: Launcher
) -> None:
    with transaction.atomic():
        outbox.record_all([Asked(number=0), *(Whispered(number=n) for n in range(3)), Asked(number=1)])
    relay(broker.url)
    eventually(none_pending)

    assert OutboxEvent.objects.unheard().count() == 3
    assert "3  probe.whispered.v1" in launch.run("unheard")
    assert [message.number for message in broker.take("echo", 2)] == [0, 1]

    with broker.channel() as channel:
        channel.queue_bind("echo", "microworkflows", "probe.whispered.v1")
    assert "3 events are pending again" in launch.run("unheard", "--relay")

    assert [message.number for message in broker.take("echo", 3)] == [0, 1, 2]
    eventually(lambda: not OutboxEvent.objects.unheard().exists() and none_pending())


@pytest.mark.slow
def test_idle_relay_holds_no_transaction_and_asks_little(relay: StartRelay, broker: Broker) -> None:
    statements: list[str] = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    def watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
        connection.execute_wrappers.append(count)

    connection_created.connect(watch)
    try:
        relay(broker.url)
        ask()
        broker.take("echo", 1)
        eventually(none_pending)
        statements.clear()
        began = time.monotonic()

        states = {state for _ in range(100) for state in states_of_other_sessions()}
        took = time.monotonic() - began
    finally:
        connection_created.disconnect(watch)

    # Each half second for events, timers and retries, and each second for what is paused.
    assert len(statements) <= (3 * 2 + 1) * took + 4, statements
    assert states <= {"idle", "active"}


def states_of_other_sessions() -> list[str]:
    processes.pause(0.02)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return [state for (state,) in cursor.fetchall()]
