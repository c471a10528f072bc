"""Heartbeats: a worker is seen while it consumes, and soon no longer once it does not, whatever the reason is."""

import os
import signal
import sys
from pathlib import Path

import pytest

from microworkflows import heartbeats
from microworkflows.heartbeats import Seen
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event
from tests.integration.support.processes import Launcher
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def seen(queue: str = "probe") -> Seen:
    eventually(lambda: queue in heartbeats.last_seen(), what=f"a heartbeat at {queue}")
    return heartbeats.last_seen()[queue]


def alive() -> set[str]:
    """Return the names of the workers that are alive, as far as one can see."""
    return {worker.process.worker.partition("@")[0] for worker in heartbeats.workers() if worker.is_alive}


def ages() -> object:
    return [worker.at for worker in heartbeats.workers()], alive()


def test_worker_is_seen_from_its_start_to_its_stop(launch: Launcher, broker: Broker) -> None:
    worker = launch.worker("probe,echo", "--no-relay", name="both")

    for queue in ("probe", "echo"):
        found = seen(queue)
        assert found.is_alive
        assert (found.process.worker, found.process.pid) == (f"both@{os.uname().nodename}", worker.pid)
        assert (found.handling, found.depth, found.stopped_at) == (0, 0, None)

    assert worker.stop() == 0, worker.output

    for queue in ("probe", "echo"):
        assert not seen(queue).is_alive
        assert seen(queue).stopped_at


def test_worker_that_is_told_to_stop_is_not_seen_any_more_while_it_finishes_what_it_has_in_hand(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "held"
    worker = launch.worker()
    ask(behaviour="hold", file=str(file))
    eventually(file.exists)
    assert seen().is_alive

    worker.send(signal.SIGTERM)

    eventually(lambda: seen().stopped_at, what="the stop noted")
    assert worker.status is None
    Path(f"{file}.go").touch()
    assert worker.wait() == 0, worker.output


@pytest.mark.slow
def test_heartbeat_tells_what_is_in_hand_and_what_waits(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "held"
    launch.worker("probe", "--no-relay", "--prefetch-multiplier", "1", MICROWORKFLOWS={"BUNDLE": 1})
    for _ in range(5):
        broker.publish(cloud_event(behaviour="hold", file=str(file)))

    eventually(lambda: (seen().handling, seen().depth) == (1, 4), every=0.2, what="one in hand, four wait")

    Path(f"{file}.go").touch()
    eventually(lambda: (seen().handling, seen().depth) == (0, 0), every=0.2, what="nothing left")


@pytest.mark.slow
def test_worker_that_is_killed_or_stuck_or_without_its_servers_is_soon_not_seen_any_more(
    launch: Launcher,
    broker: Broker,
    broker_proxy: Proxy,
    broker_through_proxy: str,
    database_proxy: Proxy,
    database_through_proxy: str,
    tmp_path: Path,
) -> None:
    """All at once, for they take their time."""
    file = tmp_path / "held"
    killed = launch.worker("echo", name="killed", wait=False)
    launch.worker(
        "echo", "--no-relay", name="cut", wait=False, environment={"BROKER_URL": broker_through_proxy}
    )
    launch.worker("echo", name="silent", wait=False, environment={"DATABASE_URL": database_through_proxy})
    launch.worker(
        "probe", "-P", "solo", name="stuck", wait=False
    )  # its consumer does the work, and nothing else
    eventually(lambda: alive() == {"killed", "cut", "silent", "stuck"}, what="four heartbeats")

    killed.kill()
    broker_proxy.vanish()
    database_proxy.silence()
    ask(behaviour="hold", file=str(file))

    eventually(lambda: not alive(), what="old heartbeats", every=0.2, progress=ages)
    assert [worker for worker in heartbeats.workers() if worker.stopped_at] == [], "nobody knows"
    celery = (str(Path(sys.executable).with_name("celery")), "-A", "project")
    ping = launch.start(*celery, "inspect", "ping", "-d", f"silent@{os.uname().nodename}")
    assert ping.wait() == 0, "its database holds up no consumer"
    database_proxy.restore()
    broker_proxy.restore()
    Path(f"{file}.go").touch()
    eventually(lambda: alive() == {"cut", "silent", "stuck"}, what="new heartbeats", every=0.2, progress=ages)
