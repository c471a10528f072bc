"""The broker dies, restarts, falls silent, blocks or is cut off in mid-frame: nothing is lost, order holds."""

import json
import logging
import random
import threading
import time
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings

from microworkflows import inbox
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import amqp_internals
from microworkflows.relay.publisher import Message, connect
from tests.integration.conftest import StartRelay
from tests.integration.support import processes
from tests.integration.support.brokers import Broker, first_seen
from tests.integration.support.node import Node
from tests.integration.support.probing import Asked, ask, cloud_event
from tests.integration.support.processes import Launcher
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def none_pending() -> bool:
    return not OutboxEvent.objects.pending().exists()


def test_broker_killed_while_recording_and_relaying_loses_nothing_and_keeps_order(
    relay: StartRelay, node: Node, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 20, "CONFIRM_TIMEOUT": 3.0}
    relay(node.url)

    def record() -> None:
        for number in range(300):
            ask(start=number)
            time.sleep(0.01)
        connection.close()

    recorder = threading.Thread(target=record)
    recorder.start()
    eventually(lambda: OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).count() > 50)

    node.restart()

    recorder.join()
    eventually(none_pending, timeout=40, what="everything relayed after the restart")
    assert first_seen(Broker(node.url).take("echo", 300)) == list(range(300))


def test_connections_cut_at_random_moments_lose_nothing(
    relay: StartRelay, broker: Broker, broker_proxy: Proxy, broker_through_proxy: str, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 200, "CONFIRM_TIMEOUT": 3.0}
    chance = random.Random(7)
    ask(3000, per_transaction=500, padding="x" * 500)
    relay(broker_through_proxy)

    cuts = 0
    while not none_pending() and cuts < 8:
        eventually(lambda: broker_proxy.accepted > cuts or none_pending(), timeout=15)  # noqa: B023  (called at once)
        processes.pause(chance.uniform(0, 0.12))
        broker_proxy.cut()
        cuts += 1

    eventually(none_pending, timeout=40)
    assert cuts > 3
    assert first_seen(broker.take("echo", 3000)) == list(range(3000))


def test_broker_that_falls_silent_is_left_after_the_confirm_timeout(
    relay: StartRelay, broker: Broker, broker_proxy: Proxy, broker_through_proxy: str, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 0.5}
    relay(broker_through_proxy)
    ask()
    broker.take("echo", 1)
    broker_proxy.silence()
    ask(5, start=1)
    seen = broker_proxy.accepted
    eventually(lambda: broker_proxy.accepted > seen, timeout=10, what="a new connection")  # silence there too

    broker_proxy.restore()

    assert first_seen(broker.take("echo", 5)) == [1, 2, 3, 4, 5]
    eventually(none_pending)


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"PLAIN", b"x-queue-type"], ids=["logging in", "declaring"])
def test_silence_while_connecting_is_left_too(
    relay: StartRelay,
    broker: Broker,
    broker_proxy: Proxy,
    broker_through_proxy: str,
    settings: Settings,
    said: bytes,
) -> None:
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 0.5}
    broker_proxy.silent_after = said
    relay(broker_through_proxy)
    ask()
    eventually(lambda: broker_proxy.accepted >= 2, what="a new connection, though the first was never closed")

    broker_proxy.restore()

    broker.take("echo", 1, timeout=10)
    eventually(none_pending, timeout=10)


@pytest.mark.slow
def test_stopping_is_prompt_while_the_broker_is_away(
    launch: Launcher, broker_proxy: Proxy, broker_through_proxy: str
) -> None:
    broker_proxy.vanish()
    relay = launch.relay(CELERY_BROKER_URL=broker_through_proxy)
    ask()
    relay.says(
        "relay probe: waits for the broker and tries again every 10 s at the latest, nothing is lost: "
    )

    assert relay.stop(timeout=2.5) == 0

    assert OutboxEvent.objects.pending().count() == 1


@pytest.mark.slow
def test_blocked_by_a_memory_alarm_the_relay_waits_says_so_once_and_recovers(
    relay: StartRelay, node: Node, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 1.0}
    relay(node.url)
    ask()
    eventually(none_pending)
    node.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        ask(500, start=1, padding="x" * 2000)
        processes.pause(2.5)
        assert OutboxEvent.objects.pending().exists()
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")

    eventually(none_pending, timeout=30)
    assert first_seen(Broker(node.url).take("echo", 501)) == list(range(501))
    said = [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]
    assert [line.partition(":")[2] for line in said] == [
        " waits, since the broker blocks publishers: it is short of memory or disk (its log says which); nothing is lost"
    ]
    assert "relay probe: goes on, since the broker takes messages in again" in caplog.text


@pytest.mark.slow
def test_blocked_relay_stops_when_it_is_told_to(
    relay: StartRelay, node: Node, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 1.0}
    running = relay(node.url)
    ask()
    eventually(none_pending)
    node.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        ask(5, start=1)
        eventually(lambda: "the broker blocks publishers" in caplog.text)

        running.stop()
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")

    assert OutboxEvent.objects.pending().count() == 5


@pytest.mark.slow
def test_broker_away_while_messages_wait_to_be_retried_is_told_in_one_line(
    relay: StartRelay,
    broker: Broker,
    broker_proxy: Proxy,
    broker_through_proxy: str,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.05}
    event = json.loads(cloud_event(behaviour="fail"))
    inbox.receive(event, queue="probe")
    InboxEvent.objects.update(expires_at=timezone.now())
    broker_proxy.vanish()
    running = relay(broker_through_proxy)

    eventually(lambda: running.tries > 4)

    told = [
        line.getMessage()
        for line in caplog.records
        if line.levelno >= logging.WARNING and "relay" in line.name
    ]
    assert len(told) == 1
    assert told[0].startswith("relay probe: waits for the broker and tries again every 10 s at the latest")


@pytest.mark.slow
def test_idle_connection_is_kept_alive_beyond_the_heartbeats_of_the_broker(
    relay: StartRelay, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    relay(f"{broker.url}?heartbeat=1")
    ask()
    broker.take("echo", 1)
    processes.pause(6)

    ask()

    broker.take("echo", 1)
    assert "lost" not in caplog.text


def test_heartbeat_that_arrives_while_a_batch_is_sent_holds_nothing_up(
    broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"CONFIRM_TIMEOUT": 2.0}
    publisher: Any
    publisher, _ = connect(Connection(f"{broker.url}?heartbeat=2"), name="probe", waits=lambda: True)
    eventually(lambda: amqp_internals.has_input(publisher._channel), what="a heartbeat, and nothing else")

    publisher._read()

    message = Message(uuid4(), Asked.event_type, cloud_event())
    assert publisher.settle(publisher.send([message])).confirmed == [message.id]
    publisher.close()


@pytest.mark.slow
def test_graceful_stop_finishes_the_batch_so_nothing_comes_twice(launch: Launcher, broker: Broker) -> None:
    ask(3000)
    for _ in range(3):
        relay = launch.relay(MICROWORKFLOWS={"RELAY_BATCH": 50})
        relay.says("relayed ")
        assert relay.stop() == 0
    launch.relay()

    arrived = broker.take("echo", 3000)

    assert [message.number for message in arrived] == list(range(3000))
    eventually(none_pending)
