"""Errors of the database: one owner each. A message at fault stops nobody, and one that is not loses no attempt."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from django.db import connection

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process, pool_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

QUICK = {"RETRY_DELAY": 0.1, "MAX_ATTEMPTS": 3, "RELAY_POLL": 0.1}
HANDLED = InboxEvent.Status.HANDLED


@pytest.fixture
def refused_rows(database: str) -> Iterator[None]:
    """Have PostgreSQL refuse inbox rows of the recorder ``refuse <SQLSTATE>``, with that SQLSTATE."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE OR REPLACE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE recorder text := NEW.body -> 'data' ->> 'recorder';
            BEGIN
                IF recorder LIKE 'refuse %' THEN
                    RAISE 'refused on purpose' USING ERRCODE = split_part(recorder, ' ', 2);
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


def is_drained(broker: Broker) -> bool:
    return broker.count("probe") == 0


def innocents(count: int) -> list[str]:
    return [cloud_event(number=number) for number in range(count)]


@pytest.mark.parametrize("sqlstate", ["54000", "22P05", "53200", "53100", "XX000"])
@pytest.mark.usefixtures("refused_rows")
def test_message_that_the_inbox_cannot_keep_becomes_a_dead_letter_and_stops_nobody(
    launch: Launcher, broker: Broker, sqlstate: str
) -> None:
    bodies = innocents(8)
    bodies.insert(3, cloud_event(number=666, recorder=f"refuse {sqlstate}"))
    publish(broker, *bodies)

    worker = launch.worker("probe", "--no-relay")

    eventually(
        lambda: handled(8) and broker.count("probe.dead") == 1, what="all handled but the one at fault"
    )
    eventually(lambda: is_drained(broker))
    assert [dead.number for dead in broker.take("probe.dead", 1)] == [666]
    assert "on purpose" in worker.output


def test_index_row_that_is_too_long_stops_nobody(launch: Launcher, broker: Broker) -> None:
    """Once the door bounds the correlation id, it becomes a dead letter there."""
    event = cloud_event(number=666)
    random_text = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=8000))
    poison = event.replace('"source"', f'"correlationid": "{random_text}", "source"')
    publish(broker, *innocents(3), poison, *innocents(3))

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(6) and broker.count("probe.dead") == 1)


@pytest.mark.parametrize("sqlstate", ["54000", "53200", "XX000", "57014", "42P01", "25006"])
def test_error_of_the_database_in_a_handler_is_its_messages_failure(
    launch: Launcher, broker: Broker, tmp_path: Path, sqlstate: str
) -> None:
    bodies = innocents(8)
    bodies.insert(3, cloud_event(behaviour="sql", file=str(tmp_path / "trace"), times=99, padding=sqlstate))
    publish(broker, *bodies)

    launch.worker(MICROWORKFLOWS=QUICK)

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")
    assert row.attempts == 3
    eventually(lambda: handled(8) and is_drained(broker))
    assert broker.count("probe.dead") == 0


@pytest.fixture
def worker(launch: Launcher) -> Process:
    return launch.worker("probe", "-c", "2", MICROWORKFLOWS=QUICK)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_handler_that_gives_way_is_tried_again_at_once_and_loses_no_attempt(
    worker: Process, broker: Broker, tmp_path: Path, sqlstate: str
) -> None:
    trace = tmp_path / "trace"
    broker.publish(cloud_event(behaviour="sql", file=str(trace), times=3, padding=sqlstate))

    eventually(lambda: handled(1), what="a handled event")

    assert len(trace.read_text().splitlines()) == 4
    assert InboxEvent.objects.get().attempts == 0


def test_handler_that_always_gives_way_is_parked_at_last(
    worker: Process, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    broker.publish(cloud_event(behaviour="sql", file=str(trace), times=999, padding="40001"))
    eventually(lambda: InboxEvent.objects.waiting().filter(retry=0).exists(), every=0.005)
    publish(broker, *innocents(5))

    eventually(lambda: handled(5), what="the others handled")
    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    assert len(trace.read_text().splitlines()) > 10


def test_handlers_that_lock_each_other_out_lose_no_attempt(launch: Launcher, broker: Broker) -> None:
    publish(broker, *(cloud_event(number=number, behaviour="embrace") for number in range(40)))

    worker = launch.worker("probe", "-c", "4", MICROWORKFLOWS={**QUICK, "BUNDLE": 1})

    eventually(lambda: handled(40))
    assert len(effects()) == 40
    assert not InboxEvent.objects.exclude(retry=0).exists()
    worker.says("at once, no attempt is lost")


@pytest.fixture
def serializable(database: str) -> Iterator[None]:
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"""ALTER DATABASE "{name}" SET default_transaction_isolation = 'serializable'""")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_isolation')


@pytest.mark.slow
@pytest.mark.usefixtures("serializable")
def test_serializable_transactions_lose_no_attempt(launch: Launcher, broker: Broker) -> None:
    publish(broker, *(cloud_event(number=number, behaviour="count") for number in range(100)))

    launch.worker("probe", "-c", "4")

    eventually(lambda: handled(100), timeout=60)
    assert len(effects()) == 100
    assert not InboxEvent.objects.exclude(retry=0).exists()


def test_session_that_is_lost_in_a_handler_costs_no_attempt(
    worker: Process, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    publish(
        broker,
        *innocents(4),
        cloud_event(behaviour="lose", file=str(trace), times=2),
        *innocents(4),
    )

    eventually(lambda: handled(9), what="everything handled")

    assert len(trace.read_text().splitlines()) == 3
    assert not InboxEvent.objects.exclude(retry=0).exists()
    assert broker.count("probe.dead") == 0


def test_handler_that_loses_its_session_each_time_is_parked(
    worker: Process, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    publish(
        broker,
        *innocents(4),
        cloud_event(behaviour="lose", file=str(trace), times=999),
        *innocents(4),
    )

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == 3
    eventually(lambda: handled(8) and is_drained(broker))


@pytest.fixture
def read_only(database: str) -> Iterator[None]:
    """Let sessions that are opened from now on only read, as those of a standby do."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    yield
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


@pytest.mark.usefixtures("read_only")
def test_session_opened_while_the_database_only_reads_is_replaced(launch: Launcher, broker: Broker) -> None:
    worker = launch.worker(MICROWORKFLOWS=QUICK)
    publish(broker, *innocents(4))
    worker.says("database out of reach", times=2)
    assert effects() == []

    with connection.cursor() as cursor:
        name = connection.settings_dict["NAME"]
        cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')

    eventually(lambda: handled(4), what="everything handled")
    assert not InboxEvent.objects.exclude(retry=0).exists()


NO_EXCEPTIONS = ["CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"]


@pytest.mark.parametrize("name", NO_EXCEPTIONS)
def test_what_is_no_exception_is_its_messages_failure_alone(
    worker: Process, broker: Broker, tmp_path: Path, name: str
) -> None:
    trace = tmp_path / "trace"
    bodies = innocents(15)
    bodies.insert(7, cloud_event(behaviour="raise", file=str(trace), times=99, padding=name))
    bodies.append(cloud_event(behaviour="raise_later", file=str(tmp_path / "later"), times=1, padding=name))
    pool = pool_of(worker.pid)
    publish(broker, *bodies)

    eventually(lambda: handled(16), what="the others handled")
    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == len(trace.read_text().splitlines()) == 3
    assert (row.error or "").startswith(name)
    eventually(lambda: is_drained(broker))
    assert broker.count("probe.dead") == 0
    assert pool_of(worker.pid) == pool


def test_process_that_is_told_to_end_in_a_handler_costs_no_attempt(
    worker: Process, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    broker.publish(cloud_event(behaviour="hold", file=str(trace)))
    eventually(trace.exists)

    os.kill(int(trace.read_text()), signal.SIGTERM)

    eventually(lambda: len(trace.read_text().splitlines()) == 2, what="a second run")
    Path(f"{trace}.go").touch()
    eventually(lambda: handled(1), what="a handled event")
    assert InboxEvent.objects.get().attempts == 0
