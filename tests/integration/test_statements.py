"""How many statements a hop, a batch of the relay and a recorded event cost: stable where seconds are not."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from microworkflows import Later, bundling, holds, isolation, outbox
from microworkflows.models import OutboxEvent
from microworkflows.worker import tasks
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, ask, cloud_event
from tests.integration.support.statements import overheard, short
from tests.integration.support.waiting import eventually

pytestmark = pytest.mark.postgres
with_probe = pytest.mark.usefixtures("database", "probe")

RECORDING = ["BEGIN", "INSERT published", "COMMIT", "SELECT pg_notify"]
HOP = ["BEGIN", "INSERT received", "INSERT probe_effect", "COMMIT"]
EMITTING_HOP = [
    *("BEGIN", "INSERT received", "INSERT probe_effect", "INSERT published", "COMMIT"),
    "SELECT pg_notify",
]
FAILED_HOP = [
    *("BEGIN", "INSERT received", "INSERT probe_effect", "ROLLBACK"),
    "SELECT 1",  # is the session alive?
    *(
        "BEGIN",
        "SET",
        "INSERT received",
        "SELECT received",
        "UPDATE received",
        "INSERT microworkflows_history",
    ),
    "COMMIT",
]
DUPLICATE = ["BEGIN", "INSERT received", "SELECT received", "COMMIT"]
CLAIM, MARK, LOOK_FOR_RETRIES = "SELECT published", "UPDATE published", "SELECT received"


@pytest.fixture
def healthy(database: str, probe: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a connection that answered once be alive, and nothing be paused: else both are asked now and then; and prepare nothing."""
    monkeypatch.setattr(tasks, "_ALIVE_SECONDS", 60.0)
    monkeypatch.setattr(holds, "look", lambda: None)
    deliver(cloud_event())
    monkeypatch.setattr(connection.connection, "prepare_threshold", None)


def deliver(body: str) -> None:
    """Do what a pool process does with a message that the worker let in."""
    receive: Any = tasks.receive
    receive(json.loads(body), queue="probe")


@with_probe
def test_recording_one_event_or_fifty_takes_the_same_statements(tmp_path: Path) -> None:
    ask()

    with overheard(tmp_path) as one, transaction.atomic():
        outbox.record(Asked(number=0))
    with overheard(tmp_path) as fifty, transaction.atomic():
        outbox.record_all([Asked(number=number) for number in range(50)])

    assert one.statements == RECORDING
    assert fifty.statements == RECORDING
    assert one.round_trips == fifty.round_trips == len(RECORDING)


@with_probe
def test_event_adds_one_statement_to_the_transaction_and_one_after_it(tmp_path: Path) -> None:
    ask()

    with overheard(tmp_path) as heard, transaction.atomic():
        OutboxEvent.objects.exists()
        for number in range(2):
            outbox.record(Asked(number=number))

    assert heard.statements == [
        *("BEGIN", "SELECT published", "INSERT published", "INSERT published", "COMMIT"),
        "SELECT pg_notify",
    ]


@with_probe
@pytest.mark.parametrize(("behaviour", "expected"), [("ok", HOP), ("emit", EMITTING_HOP)])
def test_hop_takes_the_handlers_statements_and_these(
    tmp_path: Path, healthy: None, behaviour: str, expected: list[str]
) -> None:
    with overheard(tmp_path) as heard:
        deliver(cloud_event(behaviour=behaviour))

    assert heard.statements == expected
    assert heard.round_trips == len(expected)


@with_probe
def test_failure_adds_one_statement_for_the_history_and_a_success_after_it_none(
    tmp_path: Path, healthy: None
) -> None:
    body = cloud_event(behaviour="fail", file=str(tmp_path / "trace"), times=1)

    with overheard(tmp_path) as failed:
        deliver(body)
    with overheard(tmp_path) as retried:
        receive: Any = tasks.receive
        receive(json.loads(body), queue="probe", attempt=1, label="probe.answer")

    assert failed.statements == FAILED_HOP
    assert retried.statements == [
        *("BEGIN", "INSERT received", "SELECT received", "INSERT probe_effect", "UPDATE received", "COMMIT"),
    ]


@with_probe
def test_duplicate_takes_these_statements_and_none_of_the_handler(tmp_path: Path, healthy: None) -> None:
    body = cloud_event()
    deliver(body)

    with overheard(tmp_path) as heard:
        deliver(body)

    assert heard.statements == DUPLICATE


@with_probe
def test_bundle_takes_the_handlers_statements_a_savepoint_each_and_these_once(
    tmp_path: Path, healthy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(isolation, "_LOOK_SECONDS", 60.0)  # else one more now and then
    isolation.maker_of_settings(connection)
    receive: Any = tasks.receive_bundle
    bodies = [json.loads(cloud_event(behaviour="emit")) for _ in range(5)]

    with overheard(tmp_path) as heard:
        receive(bodies, queue="probe")

    expected = [
        *("BEGIN", "SET", "INSERT received"),
        *5 * ["SAVEPOINT", "INSERT probe_effect", "RELEASE"],
        *("INSERT published", "COMMIT", "SELECT pg_notify"),
    ]
    assert heard.statements == expected
    assert heard.round_trips == len(expected)


@pytest.mark.rabbitmq
def test_relay_takes_two_statements_a_batch_whatever_it_holds(
    tmp_path: Path, broker: Broker, relay: StartRelay, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_polls = 60.0
    monkeypatch.setattr(holds, "look", lambda: None)  # else once a second
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 20, "RELAY_POLL": without_polls}
    ask(60)

    with overheard(tmp_path, opened=True) as heard:
        running = relay(broker.url)
        eventually(lambda: not OutboxEvent.objects.pending().exists() and heard.statements[-1] == CLAIM)
        running.stop()

    signs_of_life = {"SELECT 1"}
    assert [each for each in heard.statements if each not in signs_of_life] == [
        "SELECT pg_backend_pid",  # once: whether the session is its own
        *("SELECT pg_class", "SELECT pg_try_advisory_lock", "SET", "LISTEN microworkflows_probe"),
        *("BEGIN", "INSERT microworkflows_declaredbinding", "COMMIT"),  # once a minute: what is declared
        *(CLAIM, LOOK_FOR_RETRIES),
        "SELECT published",  # from time to time: when the next timer is due
        CLAIM,  # once in a backlog, and then from time to time: the ids of what is there
        *(CLAIM, MARK, CLAIM, MARK, CLAIM, MARK),  # while one batch is marked, the next is under way
        *(CLAIM, "SELECT pg_advisory_unlock"),
    ]


def test_relay_that_is_woken_looks_for_timers_if_one_was_recorded(
    tmp_path: Path, broker: Broker, relay: StartRelay, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 60.0}

    with overheard(tmp_path, opened=True) as heard:
        running = relay(broker.url)
        for _ in range(3):
            ask()
            broker.take("echo", 1)
        for_events = sum("status = 5" in text for text in heard.sql)
        with transaction.atomic():
            outbox.record(Later(Asked(number=1), timedelta(seconds=0.3)))
        broker.take("echo", 1)
        for_a_timer = sum("status = 5" in text for text in heard.sql)
        running.stop()

    assert for_events == 1  # as it began
    assert for_a_timer > 1


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT pg_notify($1, $2)", "SELECT pg_notify"),
        ('SELECT "a" FROM "t" WHERE x FOR UPDATE SKIP LOCKED', "SELECT t"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1", "INSERT t"),
        ("WITH d AS (UPDATE t SET a = 1 RETURNING a) SELECT a FROM d", "UPDATE t + SELECT d"),
        ("INSERT INTO t (a) SELECT * FROM UNNEST(($1)::uuid[])", "INSERT t"),
        ("COPY t (a) FROM STDIN", "COPY t"),
    ],
)
def test_statement_is_told_in_short(sql: str, expected: str) -> None:
    assert short(sql) == expected
