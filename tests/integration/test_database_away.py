"""The database is cut off in the middle of the work: nothing is acked, nothing parked, all is done afterwards."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


@pytest.fixture
def worker(database_through_proxy: str, broker: Broker, tmp_path: Path) -> Iterator[Process]:
    launcher = Launcher(tmp_path, database=database_through_proxy, broker=broker.url)
    yield launcher.worker("probe", "-c", "2")
    launcher.end()


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


def test_database_away_for_seconds_while_events_come(
    worker: Process, database_proxy: Proxy, broker: Broker, tmp_path: Path
) -> None:
    ask(50, behaviour="pause")
    eventually(lambda: len(effects()) > 5)

    database_proxy.vanish()
    for number in range(20):
        broker.publish(cloud_event(number=100 + number))
    ask(10, start=50)
    worker.says("database out of reach", times=4)
    worker.says("relay probe: waits")
    done = len(effects())
    time.sleep(1)
    assert len(effects()) == done < 50

    database_proxy.restore()

    eventually(lambda: handled(80), timeout=40, what="everything handled")
    assert len(effects()) == 80
    assert not OutboxEvent.objects.pending().exists()
    assert broker.count("probe.dead") == 0
    assert not InboxEvent.objects.parked().exists()
    assert worker.status is None


@pytest.mark.slow
def test_worker_that_is_told_to_stop_while_the_database_is_away_gives_its_messages_back(
    worker: Process, database_proxy: Proxy, broker: Broker, database: str, tmp_path: Path
) -> None:
    database_proxy.vanish()
    for number in range(12):  # two are in hand, others prefetched
        broker.publish(cloud_event(number=number))
    worker.says("database out of reach", times=4)

    assert worker.stop(timeout=20) == 0

    eventually(lambda: broker.count("probe") == 12, what="all of them given back")
    (tmp_path / "successor").mkdir()
    launcher = Launcher(tmp_path / "successor", database=database, broker=broker.url)
    try:
        launcher.worker()
        eventually(lambda: handled(12), what="everything handled")
    finally:
        launcher.end()
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
@pytest.mark.parametrize("gone", [False, True], ids=["connection cut", "server gone"])
def test_database_cut_between_handler_and_commit(
    worker: Process, database_proxy: Proxy, broker: Broker, tmp_path: Path, gone: bool
) -> None:
    trace = tmp_path / "trace"
    (meta,) = ask(behaviour="hold", file=str(trace))
    eventually(trace.exists)

    database_proxy.vanish() if gone else database_proxy.cut()
    Path(f"{trace}.go").touch()
    if gone:
        worker.says("database out of reach", times=2)
        assert effects() == []
        database_proxy.restore()

    eventually(lambda: handled(1), timeout=30, what="a handled event")
    assert effects() == [str(meta.id)]
    assert len(trace.read_text().splitlines()) == 2
    assert broker.count("probe.dead") == 0


def test_commit_whose_answer_got_lost_counts(
    worker: Process, database_proxy: Proxy, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    database_proxy.only_of = b"probe_effect"  # others commit, too: the relay, and the worker its heartbeats
    (meta,) = ask(behaviour="hold", file=str(trace))
    eventually(trace.exists)

    database_proxy.cut_after = b"COMMIT"
    Path(f"{trace}.go").touch()

    eventually(lambda: handled(1) and effects() == [str(meta.id)])
    worker.says("skipped probe.asked.v1", timeout=10)  # it looks, and finds that it was done
    eventually(lambda: broker.count("probe") == 0)
    assert len(trace.read_text().splitlines()) == 1
    assert database_proxy.cut_after is None


@pytest.mark.slow
def test_database_connections_cut_at_every_moment_while_events_flow(
    worker: Process, database_proxy: Proxy, broker: Broker
) -> None:
    ask(150, behaviour="emit")

    for _ in range(15):
        time.sleep(0.1)
        database_proxy.cut()

    eventually(lambda: handled(150), timeout=40, what="everything handled")
    assert len(effects()) == 150
    eventually(lambda: not OutboxEvent.objects.pending().exists())
    assert OutboxEvent.objects.filter(destination="probe.answered.v1").count() == 150
    assert broker.count("probe.dead") == 0
