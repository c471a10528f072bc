"""The broker refuses messages: a full queue, a message too large, a queue that is not there. The rest goes on."""

from functools import partial

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from microworkflows import outbox
from microworkflows.models import OutboxEvent
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker, Seen, first_seen
from tests.integration.support.node import Node
from tests.integration.support.probing import Asked, Noted, ask
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def none_pending() -> bool:
    return not OutboxEvent.objects.pending().exists()


def refused() -> list[OutboxEvent]:
    return list(OutboxEvent.objects.pending().filter(retry__gt=0))


def relayed_or_refused(count: int) -> bool:
    return OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).count() >= count or bool(refused())


def test_full_queue_holds_its_own_events_back_and_no_others_and_loses_none(
    relay: StartRelay, node: Node, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 0.3, "RETRY_MAX_DELAY": 1.0}
    broker = Broker(node.url)
    node.ctl("set_policy", "small", "^probe$", '{"max-length": 5}', "--apply-to", "queues")
    try:
        relay(node.url)
        for number in range(50):  # a quorum queue takes some more until it says that it is full
            ask(start=number)
            eventually(partial(relayed_or_refused, number + 1))
        with transaction.atomic():
            for number in range(50, 100):
                outbox.record(Asked(number=number))
                outbox.record(Noted(number=number))

        eventually(lambda: OutboxEvent.objects.filter(destination=Noted.event_type, status=2).count() == 50)
        eventually(lambda: len(refused()) > 50, what="events that were nacked")
        kept = refused()
        assert {row.type for row in kept} == {Asked.event_type}
        assert all(row.error and "nacked" in row.error for row in kept)
        assert all(row.due_at.year > 2000 for row in kept)
    finally:
        node.ctl("clear_policy", "small")

    arrived: list[Seen] = []
    while len(set(first_seen(arrived))) < 100:
        arrived += broker.take("probe", 1)  # as a worker would
    eventually(none_pending, timeout=30)
    assert set(first_seen(arrived)) == set(range(100))


@pytest.mark.slow
def test_message_too_large_for_the_broker_is_rejected_and_all_others_go_on_in_order(
    relay: StartRelay, node: Node, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 3600.0}
    too_large = {70, 130, 131}
    for start in range(200):
        ask(start=start, padding="x" * 200_000 if start in too_large else "")

    relay(node.url)

    eventually(
        lambda: OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).count() == 197, timeout=30
    )
    arrived = Broker(node.url).take("echo", 197)
    assert first_seen(arrived) == [number for number in range(200) if number not in too_large]
    assert len(arrived) < 3 * 200
    eventually(none_pending)
    rejected = list(OutboxEvent.objects.rejected())
    assert {row.body["data"]["number"] for row in rejected} == too_large
    assert all(row.error and "PreconditionFailed" in row.error for row in rejected)
    told = [line.getMessage() for line in caplog.records if "for good" in line.getMessage()]
    assert [str(row.pk) in line for row, line in zip(rejected, told, strict=True)] == [True] * len(too_large)
    ask(start=200)
    assert first_seen(Broker(node.url).take("echo", 1)) == [200]


@pytest.mark.slow
def test_exchange_that_was_deleted_is_declared_again_and_nothing_is_lost(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 0.2}
    relay(broker.url)
    ask()
    broker.take("echo", 1)
    with broker.channel() as channel:
        channel.exchange_delete("microworkflows")

    ask(10, start=1)

    assert set(first_seen(broker.take("echo", 10))) == set(range(1, 11))
    eventually(none_pending)
    connection.close()
