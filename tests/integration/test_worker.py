"""One worker takes everything that a worker may meet: what fails, what kills, what comes twice."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.db import connection

from microworkflows import Subject
from microworkflows.cloudevents import Metadata
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.topology import DELIVERY_COUNT, DELIVERY_LIMIT
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher, Process, exists, pool_of, relays_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

QUICK = {"RETRY_DELAY": 0.2, "MAX_ATTEMPTS": 3, "RELAY_POLL": 0.1}
HANDLED = InboxEvent.Status.HANDLED


@pytest.fixture(scope="module")
def running(shared_launch: Launcher) -> Process:
    return shared_launch.worker(
        "probe,chores", "-c", "2", MICROWORKFLOWS=QUICK, CELERY_IMPORTS=["tests.integration.probe.tasks"]
    )


@pytest.fixture(scope="module")
def deadly(running: Process, shared_launch: Launcher, probe_vhost: str) -> Path:
    """Send a message that kills whoever handles it; return where it leaves its traces."""
    trace = shared_launch.folder / "deadly"
    Broker(probe_vhost).publish(cloud_event(number=666, behaviour="die", file=str(trace), times=1000))
    return trace


@pytest.fixture
def worker(database: str, running: Process, deadly: Path, shared_broker: Broker) -> Iterator[Process]:
    assert running.status is None, running.output[-5000:]
    yield running
    assert running.status is None, running.output[-5000:]
    eventually(lambda: shared_broker.count("probe") == 0, what="an empty queue")


def handled(meta: Metadata) -> bool:
    return InboxEvent.objects.filter(msg_id=f"probe.answer:{meta.id}", status=HANDLED).exists()


def waiting(meta: Metadata) -> list[InboxEvent]:
    return list(InboxEvent.objects.waiting().filter(msg_id=f"probe.answer:{meta.id}"))


def parked(meta: Metadata) -> list[InboxEvent]:
    return list(InboxEvent.objects.parked().filter(msg_id=f"probe.answer:{meta.id}"))


def runs(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_event_is_handled_and_what_it_emits_is_relayed(worker: Process, shared_broker: Broker) -> None:
    (meta,) = ask(behaviour="emit", about=Subject(kind="question", key=1, name="Q-000001"))

    eventually(lambda: handled(meta), what="a handled event")

    (emitted,) = [seen for seen in shared_broker.take("echo", 2) if seen.event["type"] == "probe.answered.v1"]
    assert emitted.event["causationid"] == str(meta.id)
    assert emitted.event["correlationid"] == meta.correlation_id == "question:1"
    assert emitted.event["microworkflowsname"] == "Q-000001"
    assert emitted.event["traceparent"].split("-")[1] == meta.traceparent.split("-")[1]


def test_event_published_twenty_times_has_its_effect_once(worker: Process, shared_broker: Broker) -> None:
    (meta,) = ask(behaviour="pause")
    body = eventually(lambda: shared_broker.take("echo", 1))[0].body

    shared_broker.publish(body, times=20)

    eventually(lambda: handled(meta) and worker.output.count(f"{meta.id} correlation") >= 21)
    assert effects() == [str(meta.id)]
    assert worker.output.count("is a duplicate") >= 20


def test_event_whose_mark_was_lost_is_published_again_and_handled_once(worker: Process) -> None:
    (meta,) = ask()
    relayed = OutboxEvent.objects.filter(pk=meta.id, status=OutboxEvent.Status.RELAYED)
    eventually(lambda: handled(meta) and relayed.exists())

    relayed.update(
        status=OutboxEvent.Status.PENDING
    )  # as a crash of PostgreSQL does, which the mark did not wait for

    eventually(relayed.exists)
    worker.says(f"skipped probe.asked.v1 {meta.id}")
    assert effects() == [str(meta.id)]


@pytest.mark.parametrize("behaviour", ["die", "end"])
def test_process_that_dies_in_the_handler_has_its_message_redelivered(
    worker: Process, tmp_path: Path, behaviour: str
) -> None:
    trace = tmp_path / "trace"

    (meta,) = ask(behaviour=behaviour, file=str(trace), times=2)

    eventually(lambda: handled(meta), timeout=40, what="a handled event")
    assert effects() == [str(meta.id)]
    assert runs(trace) == 3
    assert "Task handler raised error" not in worker.output, "the pool has told it"


def test_failing_handler_is_tried_again_later_and_handled_at_last(worker: Process, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    (meta,) = ask(behaviour="fail", file=str(trace), times=2)

    (row,) = eventually(lambda: waiting(meta), every=0.005)
    assert row.error
    assert row.error.startswith("RuntimeError: failed on purpose, run ")
    assert "fail_at_first" in (row.traceback or "")
    assert row.due_at > row.added
    eventually(lambda: handled(meta), what="a handled event")
    assert effects() == [str(meta.id)]
    assert runs(trace) == 3
    assert InboxEvent.objects.get().attempts == 2


def test_message_is_parked_after_the_last_attempt_and_replayed_by_command(
    worker: Process, shared_launch: Launcher, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    about = Subject(kind="question", key=2, name="Q-000002")
    (meta,) = ask(behaviour="fail", file=str(trace), times=4, about=about)
    (row,) = eventually(lambda: parked(meta), what="a parked message")

    assert row.attempts == runs(trace) == 3
    assert effects() == []
    listed = shared_launch.run("parked", "probe")
    said = rf"{row.pk}  parked  probe\.answer  probe\.asked\.v1 {meta.id} about Q-000002  .+ old  RuntimeError: failed on purpose"
    assert re.search(said, listed), listed

    assert "1 messages are due now" in shared_launch.run("replay", "--about", "q-000002")

    eventually(lambda: handled(meta), what="a handled event")
    assert effects() == [str(meta.id)]
    assert runs(trace) == 5
    assert InboxEvent.objects.get(pk=row.pk).subject == about


def test_permanent_failure_is_parked_at_the_first_attempt(worker: Process) -> None:
    (meta,) = ask(behaviour="refuse")

    (row,) = eventually(lambda: parked(meta), what="a parked message")

    assert row.attempts == 1
    assert row.error == "PermanentError: refused on purpose"


@pytest.mark.parametrize("behaviour", ["swallow", "swallow_in_orm"])
def test_handler_that_swallows_a_database_error_does_not_make_its_event_vanish(
    worker: Process, tmp_path: Path, behaviour: str
) -> None:
    trace = tmp_path / "trace"

    (meta,) = ask(behaviour=behaviour, file=str(trace), times=1)

    eventually(lambda: handled(meta), what="a handled event")
    assert effects() == [str(meta.id)]
    assert runs(trace) == 2


def test_what_fails_after_the_commit_is_told_and_not_tried_again(worker: Process) -> None:
    (meta,) = ask(behaviour="stumble")

    eventually(lambda: handled(meta), what="a handled event")

    worker.says("RuntimeError: failed on purpose after the commit")
    assert effects() == [str(meta.id)]


def test_retries_are_not_starved_by_a_context_that_records_without_pause(
    worker: Process, shared_launch: Launcher, shared_broker: Broker, tmp_path: Path
) -> None:
    recorders = [
        shared_launch.manage("probe_record", f"recorder {n}", "--count", "100000", "--type", "noted")
        for n in range(2)
    ]
    try:
        eventually(OutboxEvent.objects.exists, timeout=30)
        (meta,) = ask(behaviour="fail", file=str(tmp_path / "trace"), times=1)

        eventually(lambda: handled(meta), timeout=20, what="the retry")
        assert all(recorder.status is None for recorder in recorders)
    finally:
        for recorder in recorders:
            recorder.kill()
        eventually(lambda: not OutboxEvent.objects.pending().exists(), timeout=30)


def test_relay_that_is_killed_is_started_again(worker: Process) -> None:
    (relay,) = relays_of(worker.pid)

    os.kill(relay, signal.SIGKILL)
    (meta,) = ask()

    eventually(lambda: handled(meta), what="a handled event")
    (successor,) = [pid for pid in relays_of(worker.pid) if exists(pid)]
    assert successor != relay
    worker.says("is started again")


def test_tasks_of_the_projects_own_run_as_they_always_did(
    worker: Process, shared_launch: Launcher, tmp_path: Path
) -> None:
    file = tmp_path / "written"

    shared_launch.run("probe_send", "probe.write", str(file), "hello", "--queue", "chores")

    eventually(lambda: file.exists() and file.read_text() == "hello", what="the task's work")


def test_worker_keeps_few_connections_to_the_database(worker: Process) -> None:
    ask(50)
    eventually(lambda: len(effects()) == 50)

    def sessions() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0])

    # and the relay's, and the heartbeats'; PostgreSQL takes a moment to see that the session of a killed process has ended
    eventually(lambda: sessions() <= len(pool_of(worker.pid)) + 2, what="as many sessions as processes")


def test_message_that_kills_its_process_each_time_ends_in_the_dead_letters(
    worker: Process, deadly: Path, shared_broker: Broker
) -> None:
    """It killed while the tests above ran. As Celery may take five seconds over a death, the test dies the rest."""
    eventually(lambda: runs(deadly) >= 5, timeout=60)
    celery = Celery(broker=shared_broker.url, set_as_current=False)
    celery.control.cancel_consumer("probe", reply=True, timeout=30, limit=1)

    counts: list[int] = []  # what the broker says of earlier deliveries, for each one here
    while not shared_broker.count("probe.dead"):
        with (
            shared_broker.channel() as channel
        ):  # closed with the message unacked, as by a worker that is killed
            if message := channel.basic_get("probe"):
                counts.append(message.headers[DELIVERY_COUNT])
    celery.control.add_consumer("probe", reply=True, timeout=30, limit=1)
    celery.close()

    (dead,) = shared_broker.take("probe.dead", 1)
    assert dead.number == 666
    # It may have been on its way when the worker cancelled its consumer, which then sends it back and has not run it.
    assert counts[0] - runs(deadly) in (0, 1)
    assert counts == list(range(counts[0], DELIVERY_LIMIT + 1))
    (meta,) = ask()
    eventually(lambda: handled(meta))


def test_message_that_failed_and_then_kills_its_process_each_time_is_parked(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    """Its inbox row waits: as a dead letter of the broker it would be redelivered, and kill, for ever."""
    trace = tmp_path / "trace"
    (meta,) = ask(behaviour="fail_then_die", file=str(trace))
    eventually(lambda: runs(trace) >= 4, timeout=60, what="a failure and three deaths")
    celery = Celery(broker=shared_broker.url, set_as_current=False)
    celery.control.cancel_consumer("probe", reply=True, timeout=30, limit=1)

    deliveries = 0
    while deliveries < DELIVERY_LIMIT - 1:
        with shared_broker.channel() as channel:  # as above, it dies here
            message = channel.basic_get("probe")
            if message and json.loads(message.body)["id"] == str(meta.id):
                deliveries = message.headers.get(DELIVERY_COUNT, 0)
    died = runs(trace)
    celery.control.add_consumer("probe", reply=True, timeout=30, limit=1)
    celery.close()

    (row,) = eventually(lambda: parked(meta), what="a parked message")
    assert row.attempts == 2
    assert (row.error or "").startswith("ProcessDiedError: ")
    assert runs(trace) == died
    assert shared_broker.count("probe.dead") == 0
