"""The link between a worker and its broker breaks in every way that links break in: the worker stays, and works again."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process, pause, pool_of
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually
from tests.soaking import Report

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

IsBack = Callable[[], None]
Start = Callable[..., Process]

SHORT_HEARTBEATS = {"CELERY_BROKER_HEARTBEAT": 4}
"""Of a worker whose link is dead until it has missed them: then there is less to wait for."""
WATCHFUL = {"CELERY_IMPORTS": ["tests.integration.probe.watchful"]}
"""Of a worker that is to find out by itself that its event loop stands still."""


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


@pytest.fixture
def start(database: str, broker_through_proxy: str, tmp_path: Path) -> Iterator[Start]:
    """Yield what starts a worker without a relay behind the proxy, given its settings; it must outlive the test."""
    launch = Launcher(tmp_path, database=database, broker=broker_through_proxy)
    started: list[Process] = []

    def start(**settings: Any) -> Process:
        started.append(launch.worker("probe", "--no-relay", "-c", "2", **settings))
        return started[-1]

    yield start
    for worker in started:
        assert worker.status is None, worker.output[-5000:]
    launch.end()


@pytest.fixture
def worker(start: Start) -> Process:
    """Return such a worker with the settings that it has by itself."""
    return start()


def works(broker: Broker) -> None:
    """Publish a message, past the proxy, and wait until the worker has handled it."""
    before = len(effects())
    broker.publish(cloud_event(number=before))
    eventually(
        lambda: handled(before + 1) and broker.count("probe") == 0, timeout=90, what="a message handled"
    )


@pytest.fixture
def is_back(broker: Broker, soaked: Report) -> IsBack:
    """Return a function that waits until the worker works again, and reports after how many seconds that was."""

    def wait() -> None:
        since = time.monotonic()
        works(broker)
        soaked(seconds_until_back=round(time.monotonic() - since, 1))

    return wait


@pytest.mark.slow
def test_worker_that_lost_its_connection_while_the_broker_still_holds_it_connects_anew(
    worker: Process, broker: Broker, broker_proxy: Proxy, is_back: IsBack
) -> None:
    works(broker)

    broker_proxy.lose_clients()

    is_back()
    worker.says("Connection to broker lost")
    worker.says("Connected to", times=2)
    assert "Warning: A node named" not in worker.output


def test_two_workers_of_one_name_both_work(launch: Launcher, broker: Broker) -> None:
    workers = [launch.worker("probe", "--no-relay", name="twin", wait=False) for _ in range(2)]
    for worker in workers:
        worker.says(" ready.")

    for _ in range(20):
        broker.publish(cloud_event())

    eventually(lambda: handled(20), what="everything handled")
    assert [worker.status for worker in workers] == [None, None]


@pytest.mark.slow
def test_worker_whose_pool_dies_while_the_broker_is_away_works_when_it_is_back(
    worker: Process, broker: Broker, broker_proxy: Proxy, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    broker.publish(cloud_event(behaviour="hold", file=str(held)))
    eventually(held.exists)

    broker_proxy.vanish()
    for process in pool_of(worker.pid):
        os.kill(process, signal.SIGKILL)
    worker.says("waits for the broker", times=2)
    Path(f"{held}.go").touch()
    broker_proxy.restore()

    eventually(lambda: handled(1), timeout=90, what="the message in hand")
    works(broker)


@pytest.mark.slow
def test_worker_notices_that_the_broker_has_lost_its_connection(
    worker: Process, broker: Broker, broker_proxy: Proxy, is_back: IsBack
) -> None:
    works(broker)

    broker_proxy.lose_server()

    is_back()
    assert worker.output.count("Connected to") == 2


@pytest.mark.slow
def test_worker_is_back_after_a_silence_longer_than_its_heartbeats(
    start: Start, broker: Broker, broker_proxy: Proxy, is_back: IsBack
) -> None:
    worker = start(**SHORT_HEARTBEATS)
    works(broker)

    broker_proxy.silence()
    worker.says("waits for the broker", times=3, timeout=120)
    broker_proxy.restore()

    is_back()


@pytest.mark.slow
def test_worker_is_back_after_a_stall_longer_than_its_heartbeats(
    start: Start, broker: Broker, broker_proxy: Proxy, is_back: IsBack
) -> None:
    worker = start(**SHORT_HEARTBEATS)
    works(broker)

    broker_proxy.stall()
    worker.says("waits for the broker", times=3, timeout=120)
    broker_proxy.restore()

    is_back()


@pytest.mark.slow
def test_worker_works_at_the_end_of_a_slow_link(worker: Process, broker: Broker, broker_proxy: Proxy) -> None:
    works(broker)

    broker_proxy.bytes_per_second = 2000
    broker.publish(cloud_event(padding="x" * 20_000))

    eventually(lambda: handled(2), timeout=60, what="a large message handled")
    works(broker)
    assert worker.output.count("Connected to") == 1


@pytest.mark.slow
def test_worker_in_the_middle_of_a_message_does_not_wait_for_the_rest_for_ever(
    start: Start, broker: Broker, broker_proxy: Proxy
) -> None:
    worker = start(**WATCHFUL)
    works(broker)
    broker_proxy.bytes_per_second = 1000
    broker.publish(cloud_event(padding="x" * 50_000))
    pause(2)  # some of it has come

    broker_proxy.lose_server()
    broker_proxy.restore()

    eventually(lambda: handled(2), timeout=120, what="the message handled")
    worker.says("the event loop stands still")
    works(broker)


@pytest.mark.slow
def test_worker_that_hears_nothing_while_it_connects_tries_again(
    start: Start, broker: Broker, broker_proxy: Proxy, is_back: IsBack
) -> None:
    worker = start(**WATCHFUL)
    works(broker)

    broker_proxy.silent_after = b"reply.celery.pidbox"  # past the handshake, in which there are limits
    broker_proxy.cut()
    worker.says("the event loop stands still")
    broker_proxy.restore()

    is_back()
