"""Dead letters of the broker itself, of a worker that is killed or meets a full queue, and in the admin."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from django.urls import reverse
from kombu import Connection

from microworkflows import celery_app, dead_letters, topology, trust
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
    assert set(seen.headers) == {"mine", trust.PUBLISHER}
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

    seen: set[str] = set()

    def found() -> int:
        seen.update(each.body.decode() for each in broker.take("probe.dead", 0))
        return len(seen)

    eventually(lambda: found() == 400, what="all of them", progress=lambda: len(seen))
    assert seen == set(bodies)


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

        eventually(lambda: _kept(node) == 30, what="all of them, or held back until there is room")
        assert worker.status is None
    finally:
        node.ctl("clear_policy", "small")
        launcher.end()


def _kept(node: Node) -> int:
    """Return the number of messages in the two queues, those included that the broker holds back for the second."""
    lines = node.ctl("list_queues", "name", "messages", "--no-table-headers").splitlines()
    counts = {name: int(number) for name, number in map(str.split, lines)}
    return counts["probe"] + counts["probe.dead"]


# In the admin


def test_admin_reads_requeues_and_drops_dead_letters_of_a_real_broker(
    database: str, broker: Broker, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = SimpleNamespace(connection_for_write=lambda: Connection(broker.url))
    monkeypatch.setattr(celery_app, "get", lambda: app)
    for number in range(60):
        broker.publish(
            f"{BAD}{number}", queue="probe.dead", headers={dead_letters.REASON: f"reason {number}"}
        )
    broker.publish(cloud_event(), queue="echo.dead")
    eventually(lambda: broker.count("probe.dead") == 60, what="all of them")

    page = admin_client.get(reverse("admin:microworkflows_deadletter_changelist"))
    index = admin_client.get(reverse("admin:index"))

    found = {section.queue: section for section in page.context["mw_sections"]}
    assert (found["probe"].count, len(found["probe"].rows), found["probe"].unseen) == (60, 50, 10)
    assert found["echo"].count == 1
    assert "<strong>61</strong> <span>dead</span>" in index.content.decode()
    first, second = (row.key for row in found["probe"].rows[:2])
    for action, key in (("drop", first), ("requeue", second)):
        form = {"action": action, "selected": [key], "confirmed": "yes"}
        admin_client.post(reverse("admin:microworkflows_deadletter_act"), form)
    (requeued,) = broker.take("probe", 1)
    assert (requeued.body, set(requeued.headers)) == (f"{BAD}1".encode(), {trust.PUBLISHER})
    eventually(lambda: broker.count("probe.dead") == 58, what="the others")
    assert [each.body for each in broker.take("probe.dead", 58)] == [
        f"{BAD}{n}".encode() for n in range(2, 60)
    ]
