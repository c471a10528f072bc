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
from tests.integration.support.probing import cloud_event, effects
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
def test_worker_that_refuses_messages_during_an_alarm_of_the_broker_handles_and_acks_the_others(
    database: str, node: Node, tmp_path: Path
) -> None:
    broker = Broker(node.url)
    launcher = Launcher(tmp_path, database=database, broker=node.url, MICROWORKFLOWS={"CONFIRM_TIMEOUT": 5.0})
    for number in range(3):
        broker.publish(f"{BAD}{number}")
    for number in range(20):
        broker.publish(cloud_event(number=number))
        broker.publish(cloud_event(number=number), queue="echo")
    node.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        launcher.worker("probe,echo", "--no-relay")

        eventually(lambda: (len(effects()), len(effects("echo.hear"))) == (20, 20), what="all the others")
        eventually(lambda: _kept(node, "echo") == 0, what="their acks", every=0.5)
        eventually(lambda: _kept(node, "probe") == 0, what="the refused ones out of the way", every=0.5)
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")
        launcher.end()
    letters = {each.body.decode() for each in broker.take("probe.dead", 3)}
    assert letters == {f"{BAD}{number}" for number in range(3)}


@pytest.mark.slow
def test_full_queue_of_dead_letters_holds_back_and_loses_none(
    database: str, node: Node, tmp_path: Path
) -> None:
    """RabbitMQ tries again every three minutes, which are two seconds here."""
    broker = Broker(node.url)
    node.ctl("eval", "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 2000).")
    with broker.channel() as channel:
        channel.queue_delete("probe")  # it reads this when it begins
    broker.declare()
    launcher = Launcher(tmp_path, database=database, broker=node.url)
    definition = '{"max-length": 1, "overflow": "reject-publish"}'
    node.ctl("set_policy", "small", "^probe.dead$", definition, "--apply-to", "queues")
    try:
        worker = launcher.worker("probe")
        with broker.publishing() as publish:
            for number in range(30):
                publish(f"{BAD}{number}")

        worker.says("goes without its reason: the broker did not take it")

        eventually(
            lambda: _kept(node, "probe", "probe.dead") == 30,
            what="all of them, or held back until there is room",
        )
        node.ctl(
            "set_policy", "small", "^probe.dead$", definition.replace("1", "1000"), "--apply-to", "queues"
        )
        eventually(lambda: _kept(node, "probe") == 0, what="none held back any more", every=0.5)
        assert broker.count("probe.dead") == 30
        assert worker.status is None
    finally:
        node.ctl("clear_policy", "small")
        launcher.end()


def _kept(node: Node, *queues: str) -> int:
    """Return the number of messages in queues, those included that are in hand, or held back for another queue."""
    lines = node.ctl("list_queues", "name", "messages", "--no-table-headers").splitlines()
    counts = {name: int(number) for name, number in map(str.split, lines)}
    return sum(counts[queue] for queue in queues)


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
    # What was looked at goes back into a quorum queue in the order in which the broker gets round to it.
    left = [each.body for each in broker.take("probe.dead", 58)]
    assert sorted(left) == sorted(f"{BAD}{n}".encode() for n in range(2, 60))
