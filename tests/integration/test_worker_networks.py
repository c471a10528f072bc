"""The link between a worker and its broker breaks in every way that links break in: the worker stays, and works again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


@pytest.fixture
def worker(database: str, broker_through_proxy: str, tmp_path: Path) -> Iterator[Process]:
    """Yield a worker without a relay behind the proxy, which must outlive the test."""
    launch = Launcher(tmp_path, database=database, broker=broker_through_proxy)
    worker = launch.worker("probe", "--no-relay", "-c", "2")
    yield worker
    assert worker.status is None, worker.output[-5000:]
    launch.end()


def works(broker: Broker) -> None:
    """Publish a message, past the proxy, and wait until the worker has handled it."""
    broker.publish(cloud_event(number=len(effects())))
    wanted = len(effects()) + 1
    eventually(lambda: handled(wanted) and broker.count("probe") == 0, timeout=90, what="a message handled")


def test_worker_that_lost_its_connection_while_the_broker_still_holds_it_connects_anew(
    worker: Process, broker: Broker, broker_proxy: Proxy
) -> None:
    works(broker)

    broker_proxy.lose_clients()

    worker.says("Connection to broker lost")
    works(broker)
    worker.says("Connected to", times=2)


@pytest.mark.slow
def test_two_workers_of_one_name_both_work(launch: Launcher, broker: Broker) -> None:
    workers = [launch.worker("probe", "--no-relay", name="twin", wait=False) for _ in range(2)]
    for worker in workers:
        worker.says(" ready.")

    for _ in range(20):
        broker.publish(cloud_event())

    eventually(lambda: handled(20), what="everything handled")
    assert [worker.status for worker in workers] == [None, None]
