"""Limits of queues, set by the commands of the how-to: a flood is held back, and nothing of it is lost."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import amqp
import pytest
from kombu import Connection

from microworkflows import topology
from microworkflows.cloudevents import CONTENT_TYPE
from microworkflows.models import OutboxEvent
from project.service import CONTEXTS
from tests.architecture.files import ROOT
from tests.integration.conftest import QUEUES
from tests.integration.support.brokers import Broker
from tests.integration.support.node import Node
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.chaos, pytest.mark.slow]

COMMANDS = re.findall(
    r"^rabbitmqctl (set_policy .*)$", (ROOT / "docs/howto/queue-limits.md").read_text(), re.MULTILINE
)


@pytest.fixture
def limited(node: Node) -> Iterator[Node]:
    """Yield the node with the limits of the how-to, much lower, for the probe's queues."""
    assert len(COMMANDS) == 2
    small = [
        re.sub(r'"max-length": \d+', '"max-length": 10', command)
        .replace("|".join(CONTEXTS), "probe|echo")
        .replace("--vhost shop ", "")
        for command in COMMANDS
    ]
    for command in small:
        node.ctl(*shlex.split(command))
    # A dead letter that did not fit comes again after three minutes, by what is set when its queue is made.
    node.ctl("eval", "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, 1000).")
    with Broker(node.url).channel() as channel:
        for queue in QUEUES:
            channel.queue_delete(queue)
        topology.declare(channel)
    yield node
    for name in ("events", "dead-letters"):
        node.ctl("clear_policy", name)


def test_commands_limit_the_queues_that_they_name(node: Node) -> None:
    node.ctl("add_vhost", "shop")
    node.ctl("set_permissions", "--vhost", "shop", "guest", ".*", ".*", ".*")
    with Connection(node.url.removesuffix("/") + "shop") as connection:
        channel: Any = connection.channel()
        for name in CONTEXTS:
            channel.queue_declare(
                f"{name}.dead", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
            )
            channel.queue_declare(
                name, durable=True, auto_delete=False, arguments=topology.queue(name).queue_arguments
            )

    for command in COMMANDS:
        node.ctl(*shlex.split(command))

    listed = json.loads(
        node.ctl(
            "list_queues",
            "--vhost",
            "shop",
            "--formatter=json",
            "name",
            "policy",
        )
    )
    assert {one["name"]: one["policy"] for one in listed} == {
        **dict.fromkeys(CONTEXTS, "events"),
        **{f"{name}.dead": "dead-letters" for name in CONTEXTS},
    }
    node.ctl("delete_vhost", "shop")


class Flood:
    """Publishes without end to come, and counts what the broker confirms and refuses."""

    def __init__(self, channel: Any) -> None:
        self.sent = 0
        self.confirmed: set[int] = set()
        self.refused: set[int] = set()
        self._channel = channel
        channel.confirm_select()
        channel.events["basic_ack"].add(lambda tag, multiple: self._settle(self.confirmed, tag, multiple))
        channel.events["basic_nack"].add(lambda tag, multiple: self._settle(self.refused, tag, multiple))

    def send(self, body: str, *, queue: str) -> None:
        self.sent += 1
        message = amqp.Message(body, content_type=CONTENT_TYPE, delivery_mode=2)
        self._channel.basic_publish(message, routing_key=queue, mandatory=True)

    def settle(self) -> None:
        """Wait until the broker has answered for each message."""
        while len(self.confirmed) + len(self.refused) < self.sent:
            self._channel.connection.drain_events(timeout=20)

    def _settle(self, outcome: set[int], tag: int, multiple: bool) -> None:
        known = self.confirmed | self.refused
        outcome |= {each for each in (range(1, tag + 1) if multiple else [tag]) if each not in known}


def test_full_queue_refuses_what_it_cannot_keep_and_keeps_the_rest(limited: Node) -> None:
    broker = Broker(limited.url)
    with broker.channel() as channel:
        flood = Flood(channel)
        for number in range(300):
            flood.send(cloud_event(number=number), queue="probe")
            if number % 10 == 9:
                flood.settle()
    kept = {message.number + 1 for message in broker.take("probe", len(flood.confirmed))}

    assert kept == flood.confirmed
    assert len(flood.confirmed) < 100 < len(flood.refused)


def test_full_dead_letters_stay_in_their_queue_and_none_is_lost(limited: Node) -> None:
    broker = Broker(limited.url)
    kept: set[int] = set()
    with broker.channel() as channel, broker.channel() as reader:

        def reject() -> None:
            with suppress(TimeoutError):
                while True:
                    reader.connection.drain_events(timeout=0.05)

        reader.basic_qos(0, 10, False)
        reader.basic_consume(
            "probe", callback=lambda message: reader.basic_reject(message.delivery_tag, False)
        )
        flood = Flood(channel)
        for number in range(300):
            flood.send(cloud_event(number=number), queue="probe")
            if number % 10 == 9:
                flood.settle()
                reject()
        assert len(flood.confirmed) < 200
        assert broker.count("probe.dead") < 100

        while len(kept) < len(flood.confirmed):
            reject()
            kept |= {message.number + 1 for message in broker.take("probe.dead", 1)}
    assert kept == flood.confirmed


@pytest.mark.postgres
def test_events_come_through_once_a_flood_of_what_nobody_can_read_is_over(
    database: str, limited: Node, tmp_path: Path
) -> None:
    broker = Broker(limited.url)
    launcher = Launcher(
        tmp_path, database=database, broker=limited.url, MICROWORKFLOWS={"RETRY_MAX_DELAY": 1.0}
    )
    try:
        launcher.worker("probe")
        recorded = []
        with broker.channel() as channel:
            flood = Flood(channel)
            for number in range(300):
                flood.send("no event", queue="probe")
                if number % 10 == 9:
                    flood.settle()
                    recorded += ask(start=number)
        assert flood.refused
        eventually(lambda: OutboxEvent.objects.pending().filter(retry__gt=0).exists() or len(effects()) == 30)

        dropped = 0
        while dropped < len(flood.confirmed):  # as its operator does
            dropped += len(broker.take("probe.dead", 1))

        eventually(lambda: set(effects()) == {str(meta.id) for meta in recorded}, what="the events")
        assert dropped == len(flood.confirmed)
    finally:
        launcher.end()
