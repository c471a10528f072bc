"""Dead letters without a worker that could add the reason, and with one that is killed or meets a full queue."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from microworkflows import dead_letters, topology
from tests.integration.support.brokers import Broker
from tests.integration.support.node import Node
from tests.integration.support.probing import cloud_event
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

BAD = "no JSON {"


def test_dead_letter_of_the_broker_itself_has_the_brokers_reason(launch: Launcher, broker: Broker) -> None:
    broker.publish(cloud_event())
    with broker.channel() as channel:
        for _ in range(topology.DELIVERY_LIMIT + 1):
            message = eventually(lambda: channel.basic_get("probe"))
            channel.basic_reject(message.delivery_tag, requeue=True)
    eventually(lambda: broker.count("probe.dead") == 1, what="a dead letter")

    assert "delivery_limit: the message was delivered again and again" in launch.run("dead_letters")


def test_requeued_dead_letter_bears_no_reason_any_more(launch: Launcher, broker: Broker) -> None:
    headers = {"mine": "1", dead_letters.REASON: "once", "x-first-death-reason": "rejected"}
    broker.publish(cloud_event(), queue="probe.dead", headers=headers)

    launch.run("dead_letters", "--requeue", "--all")

    (seen,) = broker.take("probe", 1)
    assert seen.headers == {"mine": "1"}
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
@pytest.mark.chaos
def test_worker_killed_while_it_refuses_messages_loses_none(launch: Launcher, broker: Broker) -> None:
    bodies = [f"{BAD}{number}" for number in range(400)]
    worker = launch.worker("probe", "-c", "1", wait=False)
    with broker.publishing() as publish:
        for body in bodies:
            publish(body)
    eventually(lambda: broker.count("probe.dead") > 10, what="some dead letters")

    worker.send(signal.SIGKILL)
    worker.wait()
    launch.worker("probe", "-c", "1")

    eventually(lambda: broker.count("probe") == 0 and broker.count("probe.dead") >= 400, what="all of them")
    seen = broker.take("probe.dead", 400)
    assert {each.body.decode() for each in seen} == set(bodies)


@pytest.mark.slow
def test_full_queue_of_dead_letters_holds_back_and_loses_none(
    database: str, node: Node, tmp_path: Path
) -> None:
    broker = Broker(node.url)
    launcher = Launcher(tmp_path, database=database, broker=node.url)
    definition = '{"max-length": 1, "overflow": "reject-publish"}'
    node.ctl("set_policy", "small", "^probe.dead$", definition, "--apply-to", "queues")
    try:
        worker = launcher.worker("probe")
        with broker.publishing() as publish:
            for number in range(30):
                publish(f"{BAD}{number}")

        worker.says("goes without its reason: the broker did not take it")

        node.ctl("clear_policy", "small")
        # The broker tries those that it held back again after two minutes.
        eventually(lambda: broker.count("probe.dead") >= 30, timeout=240, what="all of them")
        assert len({each.body for each in broker.take("probe.dead", 30)}) == 30
        assert worker.status is None
    finally:
        with suppress(subprocess.CalledProcessError):  # cleared above
            node.ctl("clear_policy", "small")
        launcher.end()
