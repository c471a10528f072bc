"""Errors of the database: one owner each. A message at fault stops nobody, and one that is not loses no attempt."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from string import ascii_lowercase
from typing import Any

import pytest
from django.db import connection

from microworkflows import dead_letters, handling, inbox
from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process, pool_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

QUICK = {"RETRY_DELAY": 0.1, "MAX_ATTEMPTS": 3, "RELAY_POLL": 0.1}
HANDLED = InboxEvent.Status.HANDLED


@pytest.fixture(scope="module")
def running(shared_launch: Launcher) -> Process:
    return shared_launch.worker("probe", "-c", "2", MICROWORKFLOWS=QUICK)


@pytest.fixture
def worker(database: str, running: Process, shared_broker: Broker) -> Iterator[Process]:
    assert running.status is None, running.output[-5000:]
    yield running
    assert running.status is None, running.output[-5000:]
    eventually(lambda: shared_broker.count("probe") == 0, what="an empty queue")


@pytest.fixture
def refused_rows(database: str) -> Iterator[None]:
    """Have PostgreSQL refuse inbox rows whose event has the attribute ``refused``, with that SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE OR REPLACE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.body ? 'refused' THEN
                    RAISE 'refused on purpose' USING ERRCODE = NEW.body ->> 'refused';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse_row BEFORE INSERT ON received FOR EACH ROW EXECUTE FUNCTION refuse_row()
            """
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse_row ON received; DROP FUNCTION refuse_row()")


def publish(broker: Broker, *bodies: str) -> None:
    with broker.publishing() as send:
        for body in bodies:
            send(body)


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=HANDLED).count() == count


@contextmanager
def sessions_with(setting: str) -> Iterator[None]:
    """End the sessions of others, and open new ones with this setting until the end of the block."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET {setting}')
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        try:
            yield
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" RESET {setting.partition(" ")[0]}')


def among_innocents(*bodies: str) -> list[str]:
    """Return messages among eight others; the first are slow, so that the rest wait, and are bundled."""
    slow = [cloud_event(number=number, behaviour="pause") for number in range(2)]
    quick = [cloud_event(number=number) for number in range(2, 8)]
    return [*slow, *quick[:3], *bodies, *quick[3:]]


@pytest.mark.parametrize("sqlstate", ["54000", "22P05", "53200", "53100", "XX000"])
@pytest.mark.usefixtures("refused_rows")
def test_message_that_the_inbox_cannot_keep_becomes_a_dead_letter_and_stops_nobody(
    worker: Process, shared_broker: Broker, sqlstate: str
) -> None:
    publish(shared_broker, *among_innocents(cloud_event(number=666, refused=sqlstate)))

    eventually(lambda: handled(8), what="the others handled")

    (dead,) = shared_broker.take("probe.dead", 1)
    assert dead.number == 666
    assert "The inbox cannot keep probe.asked.v1" in dead.headers[dead_letters.REASON]
    assert not InboxEvent.objects.exclude(status=HANDLED).exists()


FULL = """
    CREATE FUNCTION be_full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'no space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER be_full BEFORE INSERT ON received FOR EACH ROW EXECUTE FUNCTION be_full()
"""


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        pytest.param(FULL, "DROP FUNCTION be_full() CASCADE", id="full"),
        pytest.param(
            "ALTER TABLE received RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO received",
            id="not migrated",
        ),
    ],
)
def test_database_that_takes_no_message_is_waited_for(
    worker: Process, shared_broker: Broker, spoil: str, mend: str
) -> None:
    waited = worker.output.count("database out of reach")
    with connection.cursor() as cursor:
        cursor.execute(spoil)
        try:
            publish(shared_broker, *among_innocents())
            worker.says("database out of reach", times=waited + 3)
        finally:
            cursor.execute(mend)

    eventually(lambda: handled(8), what="everything handled")
    assert [row.error for row in InboxEvent.objects.exclude(retry=0)] == []
    assert shared_broker.count("probe.dead") == 0


@pytest.mark.usefixtures("database", "probe")
def test_message_that_failed_just_before_the_database_was_mended_loses_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert = handling.insert

    def insert_before_the_table_is_there(*args: Any, **kwargs: Any) -> set[str]:
        monkeypatch.undo()
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE received RENAME TO elsewhere")  # the rollback mends it
        return insert(*args, **kwargs)

    monkeypatch.setattr(handling, "insert", insert_before_the_table_is_there)

    inbox.receive(json.loads(cloud_event()), queue="probe")

    assert InboxEvent.objects.get().status == HANDLED


def test_index_row_that_is_too_long_stops_nobody(worker: Process, shared_broker: Broker) -> None:
    """Once the door bounds the correlation id, the message becomes a dead letter there."""
    correlation_id = "".join(Random(1).choices(ascii_lowercase, k=8000))
    poison = cloud_event(number=666).replace('"source"', f'"correlationid": "{correlation_id}", "source"')
    publish(shared_broker, *among_innocents(poison))

    eventually(lambda: handled(8), what="the others handled")

    (dead,) = shared_broker.take("probe.dead", 1)
    assert dead.number == 666


@pytest.mark.parametrize("sqlstate", ["54000", "53200", "XX000", "57014", "42P01", "25006"])
def test_error_of_the_database_in_a_handler_is_its_messages_failure(
    worker: Process, shared_broker: Broker, tmp_path: Path, sqlstate: str
) -> None:
    trace = tmp_path / "trace"
    bad = cloud_event(behaviour="sql", file=str(trace), times=99, padding=sqlstate)
    publish(shared_broker, *among_innocents(bad))

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    eventually(lambda: handled(8), what="the others handled")
    assert shared_broker.count("probe.dead") == 0


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_handler_that_gives_way_is_tried_again_at_once_and_loses_no_attempt(
    worker: Process, shared_broker: Broker, tmp_path: Path, sqlstate: str
) -> None:
    trace = tmp_path / "trace"
    shared_broker.publish(cloud_event(behaviour="sql", file=str(trace), times=3, padding=sqlstate))

    eventually(lambda: handled(1), what="a handled event")

    assert len(trace.read_text().splitlines()) == 4
    assert InboxEvent.objects.get().attempts == 0


def test_handler_that_always_gives_way_is_parked_at_last(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    shared_broker.publish(cloud_event(behaviour="sql", file=str(trace), times=999, padding="40001"))
    eventually(lambda: InboxEvent.objects.waiting().filter(retry=0).exists(), every=0.005)
    publish(shared_broker, *among_innocents())

    eventually(lambda: handled(8), what="the others handled")
    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    assert len(trace.read_text().splitlines()) > 10


def test_handlers_that_lock_each_other_out_lose_no_attempt(worker: Process, shared_broker: Broker) -> None:
    publish(shared_broker, *(cloud_event(number=number, behaviour="embrace") for number in range(20)))

    eventually(lambda: handled(20))

    worker.says("at once, no attempt is lost: OperationalError: deadlock detected")
    assert len(effects()) == 20
    assert not InboxEvent.objects.exclude(retry=0).exists()


def test_session_that_is_lost_in_a_handler_costs_no_attempt(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    publish(
        shared_broker, *among_innocents(cloud_event(number=8, behaviour="lose", file=str(trace), times=2))
    )

    eventually(lambda: handled(9), what="everything handled")

    assert len(trace.read_text().splitlines()) == 3
    assert not InboxEvent.objects.exclude(retry=0).exists()
    assert shared_broker.count("probe.dead") == 0


def test_handler_that_loses_its_session_each_time_is_parked(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    publish(shared_broker, *among_innocents(cloud_event(behaviour="lose", file=str(trace), times=999)))

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    eventually(lambda: handled(8), what="the others handled")


def test_session_opened_while_the_database_only_reads_is_replaced(
    worker: Process, shared_broker: Broker
) -> None:
    waited = worker.output.count("database out of reach")

    with sessions_with("default_transaction_read_only = on"):
        publish(shared_broker, *among_innocents())
        worker.says("database out of reach", times=waited + 2)
        assert effects() == []

    eventually(lambda: handled(8), what="everything handled")
    assert not InboxEvent.objects.exclude(retry=0).exists()


@pytest.mark.parametrize("name", ["CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"])
def test_what_is_no_exception_is_its_messages_failure_alone(
    worker: Process, shared_broker: Broker, tmp_path: Path, name: str
) -> None:
    trace = tmp_path / "trace"
    processes = set(pool_of(worker.pid))
    publish(
        shared_broker,
        *among_innocents(
            cloud_event(behaviour="raise", file=str(trace), times=99, padding=name),
            cloud_event(behaviour="raise_later", file=str(tmp_path / "later"), times=1, padding=name),
        ),
    )

    eventually(lambda: handled(9), what="the others handled")
    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    assert (row.error or "").startswith(name)
    assert len(trace.read_text().splitlines()) == 3
    assert shared_broker.count("probe.dead") == 0
    assert set(pool_of(worker.pid)) == processes


def test_process_that_is_told_to_end_in_a_handler_costs_no_attempt(
    worker: Process, shared_broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    shared_broker.publish(cloud_event(behaviour="hold", file=str(trace)))
    eventually(trace.exists)

    os.kill(int(trace.read_text()), signal.SIGTERM)

    eventually(lambda: len(trace.read_text().splitlines()) == 2, what="a second run")
    Path(f"{trace}.go").touch()
    eventually(lambda: handled(1), what="a handled event")
    assert InboxEvent.objects.get().attempts == 0


@pytest.mark.slow
def test_serializable_transactions_lose_no_attempt(worker: Process, shared_broker: Broker) -> None:
    with sessions_with("default_transaction_isolation = serializable"):
        publish(shared_broker, *(cloud_event(number=number, behaviour="count") for number in range(100)))

        eventually(lambda: handled(100), timeout=60)

    assert len(effects()) == 100
    assert not InboxEvent.objects.exclude(retry=0).exists()
    worker.says("at once, no attempt is lost: OperationalError: could not serialize access")
