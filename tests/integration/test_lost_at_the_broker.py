"""The broker loses what it had: a queue, a binding, an exchange. It is told, declared again, and what was lost is relayed again."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import loop
from tests import servers
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the relay look often for what is missing."""
    monkeypatch.setattr(loop, "_MEND_SECONDS", 0.2)


def test_deleted_queue_and_exchange_are_told_and_declared_again_while_nothing_is_recorded(
    relay: StartRelay, broker: Broker, often: None, caplog: pytest.LogCaptureFixture
) -> None:
    relay(broker.url)
    ask()
    broker.take("echo", 1)

    with broker.channel() as channel:
        channel.queue_delete("echo")
        channel.exchange_delete("microworkflows")

    eventually(lambda: broker.count("echo") == 0, what="the queue")
    eventually(lambda: "the broker had lost the exchange microworkflows" in caplog.text)
    assert "the queue echo" in caplog.text
    ask(start=1)
    assert [message.number for message in broker.take("echo", 1)] == [1]


def test_deleted_binding_is_declared_again_though_another_queue_hears_the_type(
    relay: StartRelay, broker: Broker, often: None
) -> None:
    relay(broker.url)
    ask()
    broker.take("probe", 1)
    with broker.channel() as channel:
        channel.queue_unbind("probe", "microworkflows", Asked.event_type)

    def arrives() -> bool:
        ask()
        return broker.count("probe") > 0

    eventually(arrives, what="an event by the new binding")


def test_user_without_rights_to_declare_relays_while_nothing_is_missing_and_then_tells_it(
    relay: StartRelay, broker: Broker, often: None, caplog: pytest.LogCaptureFixture
) -> None:
    server, user = servers.rabbitmq(), f"{servers.RUN}_publisher"
    vhost = urlsplit(broker.url).path.removeprefix("/")
    server.define(
        users=[{"name": user, "password": "secret", "tags": ""}],
        permissions=[{"user": user, "vhost": vhost, "configure": "^$", "write": ".*", "read": ".*"}],
    )
    try:
        host = urlsplit(broker.url).netloc.rpartition("@")[2]
        running = relay(urlsplit(broker.url)._replace(netloc=f"{user}:secret@{host}").geturl())
        ask()
        assert [message.number for message in broker.take("echo", 1)] == [0]
        with broker.channel() as channel:
            channel.queue_delete("echo.dead")

        eventually(lambda: "the broker lacks what is to be declared there: TopologyError: " in caplog.text)
        assert "'echo.dead' is missing" in caplog.text
        ask(start=1)
        assert [message.number for message in broker.take("echo", 1)] == [1]
        running.stop()
    finally:
        server.delete("users", user)


@pytest.mark.slow
def test_events_that_the_broker_confirmed_and_lost_are_counted_and_relayed_again(
    launch: Launcher, broker: Broker
) -> None:
    launch.relay()
    began = timezone.now() - timedelta(minutes=1)
    ask(5)
    eventually(lambda: OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).count() == 5)
    with broker.channel() as channel:
        channel.queue_purge("probe")
    worker = launch.worker("probe", "--no-relay")
    ask(2, start=5)
    eventually(lambda: len(effects()) == 2)

    counted = launch.run("unreceived", "--minutes", "0")
    assert f"5  {Asked.event_type}  probe.answer" in counted
    said = launch.run("relay", "--again", "--since", began.isoformat(), "--type", Asked.event_type)

    assert "7 events are pending again" in said
    eventually(lambda: len(effects()) == 7)
    worker.says("probe.answer is a duplicate", times=2)
    assert len(set(effects())) == InboxEvent.objects.filter(msg_id__startswith="probe.answer:").count() == 7
    assert f"{Asked.event_type}  probe.answer" not in launch.run("unreceived", "--minutes", "0")
