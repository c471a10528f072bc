"""The journal with real workers, relays and brokers: it tells what outbox and inbox tell, whatever is killed; and orders go on without it."""

import os
import signal
from typing import Any

import pytest

from microworkflows.journal import broker as journals_broker
from microworkflows.journal.models import Attempt, Context, Delivery, Event, Flow, Gap, Minute, Process
from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher, pool_of, relays_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def journaling(launch: Launcher, broker: Broker) -> Launcher:
    """Return a launcher of processes that report."""
    launch._settings["GUESTS"] = ["microworkflows.journal"]
    name = journals_broker.queue().name
    with broker.channel() as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)
    return launch


def _differences() -> dict[str, Any]:
    """Return what outbox and inbox tell and the journal does not, or tells otherwise."""
    outbox = {row.pk: (row.type, row.correlation_id, row.status) for row in OutboxEvent.objects.all()}
    statuses = {Event.Status.RELAYED: 2, Event.Status.UNHEARD: 3, Event.Status.REJECTED: 4}
    events = {
        row.pk: (row.type, row.flow.correlation_id, statuses.get(Event.Status(row.status)))
        for row in Event.objects.select_related("flow")
    }
    inbox = {
        (row.event_id, row.label): InboxEvent.Status(row.status).label for row in InboxEvent.objects.all()
    }
    deliveries = {
        (row.event_id, row.consumer): Delivery.Status(row.status).label for row in Delivery.objects.all()
    }
    return {
        name: sorted(told.items() ^ truth.items(), key=str)
        for name, told, truth in _pairs(events, outbox, deliveries, inbox)
        if told != truth
    }


def _pairs(*given: dict[Any, Any]) -> list[tuple[str, dict[Any, Any], dict[Any, Any]]]:
    events, outbox, deliveries, inbox = given
    return [("events", events, outbox), ("deliveries", deliveries, inbox)]


def test_journal_tells_what_outbox_and_inbox_tell(journaling: Launcher) -> None:
    journaling.worker("probe,echo", "-c", "2", MICROWORKFLOWS={"MAX_ATTEMPTS": 2})
    ask(20, behaviour="emit")
    ask(1, behaviour="fail")

    eventually(
        lambda: Flow.objects.filter(state=Flow.State.DONE).count() == 20, what="20 flows that are done"
    )
    eventually(lambda: Flow.objects.filter(state=Flow.State.FAILED).count() == 1, what="one that failed")

    assert _differences() == {}
    assert not Gap.objects.exists()
    assert {each.emitted_by for each in Event.objects.filter(type="probe.answered.v1")} == {"probe.answer"}
    eventually(
        lambda: {each.kind for each in Process.objects.all()} == {"worker", "pool", "relay"},
        what="notices of every kind of process",
    )
    eventually(
        lambda: Context.objects.filter(name="probe", tally__parked=1).exists(),
        what="a tally of the parked one",
    )
    relay = Process.objects.get(kind="relay")
    assert relay.life["leads"] == ["echo", "probe"]
    assert set(Process.objects.get(kind="worker").life["depths"]) == {"echo", "probe"}
    assert list(Attempt.objects.order_by("ended_at").values_list("number", "ending")) == [
        (1, "failed"),
        (2, "parked"),
    ]
    assert (
        sum(Minute.objects.filter(type="probe.asked.v1", consumer="").values_list("count", flat=True)) == 21
    )
    journaling.stop()
    assert not Process.objects.filter(stopped_at=None).exclude(kind="relay").exists()


@pytest.mark.chaos
def test_journal_tells_the_same_after_pool_relay_and_collector_were_killed(
    journaling: Launcher,
) -> None:
    collects = {"JOURNAL_COLLECTOR": "none"}
    worker = journaling.worker("probe,echo", "-c", "2", MICROWORKFLOWS=collects)
    collector = journaling.manage("journal_collect", MICROWORKFLOWS=collects)
    collector.says("the journal is written from here")
    eventually(lambda: Process.objects.count() == 2, what="first notices of worker and relay")

    for part in range(4):
        ask(50, behaviour="emit", start=50 * part)
        _wait_for_effects(50 * part + 5)
        if part == 0:
            os.kill(pool_of(worker.pid)[0], signal.SIGKILL)
        elif part == 1:
            os.kill(relays_of(worker.pid)[0], signal.SIGKILL)
        elif part == 2:
            collector.send(signal.SIGKILL)
    collector.wait()
    journaling.manage("journal_collect", MICROWORKFLOWS=collects).says("the journal is written from here")

    eventually(lambda: len(effects("echo.conclude")) == 200, what="all orders, in spite of all")
    eventually(
        lambda: Flow.objects.filter(state=Flow.State.DONE).count() == 200,
        what="200 flows that are done in the journal",
        timeout=90,
    )
    assert _differences() == {}
    assert not Gap.objects.filter(filled_at=None).exists()


def test_orders_go_on_without_collector_or_queue(journaling: Launcher, broker: Broker) -> None:
    journaling.worker("probe,echo", MICROWORKFLOWS={"JOURNAL_COLLECTOR": "none"})
    name = journals_broker.queue().name
    ask(5)
    eventually(lambda: len(effects()) == 5, what="orders without a collector")
    eventually(lambda: broker.count(name) > 0, what="notices that wait")
    with broker.channel() as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)

    ask(5, start=5)

    eventually(lambda: len(effects()) == 10, what="orders without a queue for notices")
    assert not Flow.objects.exists()
    out = journaling.run("journal_collect", "--fill")
    assert "rows since" in out
    assert Flow.objects.count() == 10
    assert _differences() == {}


def _wait_for_effects(number: int) -> None:
    eventually(lambda: len(effects()) > number, what=f"more than {number} orders")
