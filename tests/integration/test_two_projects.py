"""Two projects at one virtual host, whose contexts have the same labels: apart by a prefix, or the second is refused."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from pytest_django import Settings

from microworkflows import topology
from microworkflows.errors import ForeignQueueError
from microworkflows.ids import uuid7
from microworkflows.relay import publisher
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq]

OTHER = {"EXCHANGE": "another"}
INN = {"PREFIX": "inn."}
MINE = ["inn.probe", "inn.probe.dead", "inn.echo", "inn.echo.dead"]


@pytest.fixture
def shop(broker: Broker) -> Iterator[Broker]:
    """Yield a virtual host with the queues of one project; those of a second one are removed afterwards."""
    yield broker
    with broker.channel() as channel:
        for queue in MINE:
            channel.queue_delete(queue)
        for exchange in ("inn.microworkflows", "inn.probe.owner", "inn.echo.owner", "another"):
            channel.exchange_delete(exchange)


def _publish(url: str) -> list[Any]:
    message = publisher.Message(uuid7(), "probe.asked.v1", cloud_event())
    made, _ = publisher.connect(Connection(url), name="probe", waits=lambda: True)
    try:
        return made.settle(made.send([message])).confirmed
    finally:
        made.close()


def test_projects_with_a_prefix_each_get_their_own_events_alone(shop: Broker, settings: Settings) -> None:
    settings.MICROWORKFLOWS = INN
    shop.declare()

    assert len(_publish(shop.url)) == 1

    eventually(lambda: shop.count("inn.probe") == 1, what="the event of the second project")
    assert shop.count("probe") == 0
    settings.MICROWORKFLOWS = {}
    assert len(_publish(shop.url)) == 1
    eventually(lambda: shop.count("probe") == 1, what="the event of the first project")
    assert shop.count("inn.probe") == 1


def test_queue_of_another_exchange_is_refused_before_anything_is_bound(
    shop: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = OTHER

    with pytest.raises(
        ForeignQueueError,
        match=r"'echo' belongs to another project.*than 'another'.*'microworkflows'.*PREFIX.*"
        r"celery -A project amqp exchange.delete echo.owner",
    ):
        shop.declare()

    with shop.channel() as channel, pytest.raises(channel.connection.channel_errors, match="NOT_FOUND"):
        channel.exchange_declare("another", "topic", passive=True)


def test_queue_that_an_earlier_version_declared_belongs_to_the_first_who_comes(
    shop: Broker, settings: Settings
) -> None:
    with shop.channel() as channel:
        channel.exchange_delete("probe.owner")
        channel.exchange_delete("echo.owner")

    shop.declare()

    settings.MICROWORKFLOWS = OTHER
    with pytest.raises(ForeignQueueError):
        shop.declare()


def test_project_that_renamed_its_exchange_goes_on_once_the_owners_are_deleted(
    shop: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = OTHER
    with shop.channel() as channel:
        for label in topology.queues():
            channel.exchange_delete(topology.owner_name(label))

    shop.declare()

    assert len(_publish(shop.url)) == 1
    eventually(lambda: shop.count("probe") == 1, what="the event in the old queue")


def test_relay_of_a_second_project_ends_and_says_why(
    shop: Broker, relay: StartRelay, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = OTHER

    started = relay(shop.url)

    eventually(lambda: "'echo' belongs to another project" in started.refusal, what="the reason")
    started.stop()


@pytest.mark.slow
def test_worker_and_relay_of_a_second_project_do_not_start_until_somebody_says_that_it_is_the_same(
    shop: Broker, launch: Launcher
) -> None:
    worker = launch.worker("probe", "--no-relay", wait=False, MICROWORKFLOWS=OTHER)
    by_hand = launch.manage("relay", MICROWORKFLOWS=OTHER)

    assert worker.wait(timeout=60) != 0
    assert by_hand.wait(timeout=60) != 0

    for process in (worker, by_hand):
        assert "'echo' belongs to another project" in process.output
        assert "exchange.delete echo.owner false" in process.output
    assert "Traceback" not in by_hand.output

    for owner in ("probe.owner", "echo.owner"):
        celery = str(Path(sys.executable).with_name("celery"))
        deleted = launch.start(celery, "-A", "project", "amqp", "exchange.delete", owner, "false")
        assert deleted.wait(timeout=60) == 0, deleted.output
    launch.relay(MICROWORKFLOWS=OTHER)


@pytest.mark.slow
def test_project_with_a_prefix_works_and_what_lies_in_the_old_queues_is_drained(
    shop: Broker, launch: Launcher
) -> None:
    retried = {"RETRY_DELAY": 0.1, **INN}
    before = launch.relay("probe", "echo")
    launch.run("probe_record", "before", "--count", "2")
    eventually(lambda: shop.count("probe") == 2, what="events in the old queue")
    before.stop()
    launch.worker("probe,inn.echo", name="new", MICROWORKFLOWS=retried)
    ask(behaviour="raise", file=str(launch.folder / "tries"), times=1)
    eventually(lambda: len(effects("probe.answer")) == 1, what="the event, retried at the new queue")
    assert shop.count("probe") == 2

    shop.publish("no JSON {", queue="inn.probe")
    eventually(lambda: shop.count("inn.probe.dead") == 1, what="a dead letter")
    assert "1  inn.probe.dead" in launch.run("dead_letters", "probe", MICROWORKFLOWS=retried)
    launch.worker("probe,echo", "--no-relay", name="old")

    eventually(lambda: len(effects("probe.answer")) == 3, what="the events in the old queue")
    assert shop.count("probe") == 0
