"""What one message does to a worker costs its neighbours a redelivery at most; and what died with others is no culprit."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from microworkflows.models import InboxEvent
from microworkflows.topology import DELIVERY_COUNT, DELIVERY_LIMIT
from tests.integration.support.brokers import Broker
from tests.integration.support.node import Node
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


def deliver_in_vain(broker: Broker, *, count: int, messages: int = 1) -> None:
    """Take the messages and close the channel, as a worker that is cut off, until each has come back so often."""
    fewest = 0
    while fewest < count:
        with broker.channel() as channel:
            taken = [message for _ in range(messages) if (message := channel.basic_get("probe"))]
            if len(taken) == messages:
                fewest = min(message.headers.get(DELIVERY_COUNT, 0) for message in taken)


@pytest.mark.parametrize("poison", ["too_deep", "unpicklable"])
def test_message_that_cannot_be_sent_to_the_pool_is_a_dead_letter_and_its_neighbours_go_on(
    launch: Launcher, broker: Broker, tmp_path: Path, poison: str
) -> None:
    held = tmp_path / "held"
    with broker.publishing() as send:
        send(cloud_event(number=0, behaviour="hold", file=str(held)))
        for number in range(1, 7):  # prefetched together, and bundled
            send(cloud_event(number=number, file=poison if number in {2, 5} else ""))
    worker = launch.worker(
        "probe", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.poison"], MICROWORKFLOWS={"BUNDLE": 4}
    )
    worker.says("received", times=7)

    Path(f"{held}.go").touch()

    eventually(lambda: handled(5) and broker.count("probe") == 0, what="the innocents' handling")
    assert len(effects()) == 5
    assert sorted(dead.number for dead in broker.take("probe.dead", 2)) == [2, 5]
    worker.says("dead letter in probe.dead: the event cannot be sent to a process of the pool", times=2)
    assert "Unrecoverable" not in worker.output
    broker.publish(cloud_event(number=7))
    eventually(lambda: handled(6), what="one that comes later")
    assert worker.stop() == 0


@pytest.mark.parametrize("body", [None, ""], ids=["body", "bodyless"])
def test_message_whose_properties_cannot_be_read_is_a_dead_letter_and_its_neighbours_go_on(
    launch: Launcher, broker: Broker, request: pytest.FixtureRequest, body: str | None
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(1500):
        deep = {"x": deep}
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)  # py-amqp writes it as it would read it
    request.addfinalizer(lambda: sys.setrecursionlimit(limit))
    broker.publish(cloud_event(number=0) if body is None else body, content_type=b"\xff\xfe")  # type: ignore[arg-type]
    broker.publish(cloud_event(number=1) if body is None else body, correlation_id=b"\xff")
    broker.publish(cloud_event(number=2) if body is None else body, headers={"deep": deep})
    for number in range(3, 6):
        broker.publish(cloud_event(number=number))

    worker = launch.worker("probe", "--no-relay")

    eventually(lambda: handled(3) and broker.count("probe") == 0, what="the innocents' handling")
    worker.says("dead letter in probe.dead: Its properties or headers cannot be read", times=3)
    eventually(lambda: broker.count("probe.dead") == 3, what="the dead letters")
    assert worker.stop() == 0


def test_message_that_came_back_often_for_others_faults_is_handled_and_not_parked(
    launch: Launcher, broker: Broker
) -> None:
    broker.publish(cloud_event(number=1))
    deliver_in_vain(broker, count=DELIVERY_LIMIT - 1)

    worker = launch.worker("probe", "--no-relay")

    eventually(lambda: handled(1) and broker.count("probe") == 0, what="the message handled")
    worker.says("a copy with a new count takes its place")
    assert not InboxEvent.objects.parked().exists()
    assert broker.count("probe.dead") == 0


def test_message_that_killed_one_process_and_came_back_often_for_others_faults_is_handled(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    deadly = tmp_path / "deadly"
    broker.publish(cloud_event(number=1, behaviour="hold_die", file=str(deadly), times=1))
    deliver_in_vain(broker, count=1)  # so it has its process for itself
    worker = launch.worker("probe", "--no-relay")
    eventually(deadly.exists, what="the handler")
    celery = Celery(broker=broker.url, set_as_current=False)
    celery.control.cancel_consumer("probe", reply=True, timeout=3, limit=1)

    Path(f"{deadly}.go").touch()
    deliver_in_vain(broker, count=DELIVERY_LIMIT - 1)
    celery.control.add_consumer("probe", reply=True, timeout=3, limit=1)
    celery.close()

    eventually(lambda: handled(1) and broker.count("probe") == 0, what="the message handled")
    worker.says("a copy with a new count takes its place")
    assert not InboxEvent.objects.parked().exists()
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
def test_messages_that_wait_in_workers_that_stop_in_good_order_are_handled_in_the_end(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    celery = Celery(broker=broker.url, set_as_current=False)
    for number in range(3):
        broker.publish(cloud_event(number=number))
    deliver_in_vain(broker, count=DELIVERY_LIMIT - 3, messages=3)
    for stop in range(3):  # with the last one they have come back more often than the broker would allow
        held = tmp_path / f"held{stop}"
        celery.send_task("probe.hold", (str(held),), queue="chores")
        worker = launch.worker("chores", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.tasks"])
        eventually(held.exists, what="a task in hand")
        celery.control.add_consumer("probe", reply=True, timeout=3, limit=1)
        worker.says("received", times=4)
        worker.send(signal.SIGTERM)
        worker.says("Warm shutdown")
        Path(f"{held}.go").touch()
        assert worker.wait() == 0
    celery.close()

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(3) and broker.count("probe") == 0, what="all handled")
    assert not InboxEvent.objects.parked().exists()
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
def test_message_that_waits_in_a_worker_that_is_killed_each_time_is_handled_in_the_end(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    broker.publish(cloud_event(number=0, behaviour="hold", file=str(held)))
    broker.publish(cloud_event(number=1))
    deliver_in_vain(broker, count=DELIVERY_LIMIT - 3, messages=2)
    for _ in range(4):  # with the last two they have come back more often than the broker would allow
        worker = launch.worker("probe", "--no-relay", wait=False)
        worker.until(lambda output: output.count("received") >= 2, what="both were received")
        worker.kill()

    Path(f"{held}.go").touch()
    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(2), what="both handled")
    assert not InboxEvent.objects.parked().exists()
    assert broker.count("probe.dead") == broker.count("probe") == 0


@pytest.mark.slow
def test_messages_that_wait_long_behind_a_slow_one_go_to_a_worker_that_is_free(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    with broker.publishing() as send:
        send(cloud_event(number=0, behaviour="hold", file=str(held)))
        for number in range(1, 9):
            send(cloud_event(number=number))
    busy = launch.worker("probe", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.impatient"])
    eventually(held.exists)
    busy.says("are given back")

    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(8), what="all but the slow one")
    Path(f"{held}.go").touch()
    eventually(lambda: handled(9) and broker.count("probe") == 0, what="everything handled")
    assert len(effects()) == 9
    assert busy.stop() == 0


@pytest.fixture
def impatient_node(node: Node) -> Iterator[Node]:
    """Yield a node that closes the channel of a consumer which keeps a message for some seconds."""
    for name, milliseconds in (("consumer_timeout", 3_000), ("channel_tick_interval", 1_000)):
        node.ctl("eval", f"application:set_env(rabbit, {name}, {milliseconds}).")
    yield node
    for name, milliseconds in (("consumer_timeout", 1_800_000), ("channel_tick_interval", 60_000)):
        node.ctl("eval", f"application:set_env(rabbit, {name}, {milliseconds}).")


@pytest.mark.slow
def test_worker_whose_step_outlasts_the_brokers_patience_connects_anew(
    database: str, impatient_node: Node, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    broker = Broker(impatient_node.url)
    launch = Launcher(tmp_path, database=database, broker=broker.url)
    try:
        worker = launch.worker("probe", "--no-relay", "-c", "2")
        broker.publish(cloud_event(number=0, behaviour="hold", file=str(held)))
        worker.says("delivery acknowledgement on channel", timeout=60)
        worker.says("Connected to", times=2)
        broker.publish(cloud_event(number=1))
        eventually(lambda: len(effects()) == 1, what="another message")

        Path(f"{held}.go").touch()

        eventually(lambda: handled(2) and broker.count("probe") == 0, what="everything handled")
        assert len(effects()) == 2
        assert worker.stop() == 0
    finally:
        launch.end()
