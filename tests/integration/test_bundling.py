"""Messages that a busy worker handles together: fewer transactions, and whatever happens to one is no other's concern."""

from pathlib import Path

import pytest
from django.db import connection

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

HANDLED = InboxEvent.Status.HANDLED


def publish(broker: Broker, *bodies: str) -> None:
    with broker.publishing() as send:
        for body in bodies:
            send(body)


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=HANDLED).count() == count


def transactions() -> int:
    """Return in how many transactions the rows of the inbox were written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT xmin::text) FROM received")
        return int(cursor.fetchone()[0])


@pytest.mark.slow
def test_backlog_is_handled_in_few_transactions_and_each_event_once(launch: Launcher, broker: Broker) -> None:
    publish(broker, *(cloud_event(number=number) for number in range(200)))

    # On a slow machine each step may be slow enough to have its own transaction.
    worker = launch.worker("probe", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.unhurried"])

    eventually(lambda: handled(200) and broker.count("probe") == 0)
    assert len(effects()) == 200
    assert transactions() < 100
    assert worker.output.count(" by probe.answer") == 200
    assert worker.stop() == 0


@pytest.mark.slow
def test_setting_of_one_gives_each_event_its_own_transaction(launch: Launcher, broker: Broker) -> None:
    publish(broker, *(cloud_event(number=number) for number in range(50)))

    launch.worker("probe", "--no-relay", MICROWORKFLOWS={"BUNDLE": 1})

    eventually(lambda: handled(50))
    assert transactions() == 50


@pytest.mark.slow
def test_slow_steps_share_no_transaction(launch: Launcher, broker: Broker) -> None:
    publish(broker, *(cloud_event(number=number, behaviour="pause") for number in range(40)))

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(40))
    assert transactions() == 40


@pytest.mark.slow
def test_message_that_kills_its_process_takes_along_no_more_than_one_delivery_of_the_others(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    deadly, trace = tmp_path / "deadly", tmp_path / "trace"
    bodies = [cloud_event(number=number, behaviour="trace", file=str(trace)) for number in range(40)]
    bodies[20] = cloud_event(number=20, behaviour="die", file=str(deadly), times=3)
    publish(broker, *bodies)

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(40) and broker.count("probe") == 0, timeout=40)
    assert len(effects()) == 40
    assert len(deadly.read_text().splitlines()) == 4
    assert 39 <= len(trace.read_text().splitlines()) <= 39 + 16
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
def test_process_killed_inside_a_call_with_many_events_has_done_none_of_them(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    publish(broker, *(cloud_event(number=number, file=str(calls)) for number in range(120)))

    launch.worker(
        "probe",
        "--no-relay",
        CELERY_IMPORTS=["tests.integration.probe.gathering", "tests.integration.probe.unhurried"],
    )

    eventually(lambda: handled(240) and broker.count("probe") == 0)
    assert len(effects("probe.gather")) == len(effects()) == 120
    assert len(calls.read_text().splitlines()) > 1, "and others together, after the process that was killed"


def test_transactions_that_would_lock_each_other_out_give_way_and_cost_no_attempt(
    launch: Launcher, broker: Broker
) -> None:
    publish(broker, *(cloud_event(number=number // 3, behaviour="lock") for number in range(300)))

    workers = [launch.worker("probe", "--no-relay", "-c", "2", wait=False) for _ in range(2)]

    eventually(lambda: handled(300), timeout=60)
    assert len(effects()) == 300
    assert not InboxEvent.objects.exclude(retry=0).exists()
    assert not any("deadlock" in worker.output for worker in workers)
    assert not any("could not be committed together" in worker.output for worker in workers)


def test_copy_of_a_message_that_another_process_has_in_hand_is_no_reason_for_a_warning(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    held = [cloud_event(behaviour="hold", file=str(file)) for file in files]
    worker = launch.worker("probe", "--no-relay", "-c", "2")
    publish(broker, *held)
    eventually(lambda: all(file.exists() for file in files), what="both processes busy")
    publish(broker, held[0], *(cloud_event(number=number) for number in range(5)))

    Path(f"{files[1]}.go").touch()
    worker.says("runs gave way to another transaction; each is done alone")
    Path(f"{files[0]}.go").touch()

    eventually(lambda: handled(7) and broker.count("probe") == 0)
    worker.says("probe.answer is a duplicate")
    assert " WARNING " not in worker.output, worker.output
    assert len(effects()) == 7


def test_failures_among_them_are_kept_one_by_one(launch: Launcher, broker: Broker) -> None:
    behaviours = ["refuse" if number % 5 == 0 else "ok" for number in range(50)]
    publish(broker, *(cloud_event(number=n, behaviour=behaviour) for n, behaviour in enumerate(behaviours)))

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(40) and InboxEvent.objects.parked().count() == 10)
    assert len(effects()) == 40
