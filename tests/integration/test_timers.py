"""Timers on real servers: fired once and not early, whatever is killed; cancelled or fired, never both and never neither."""

import threading
import time
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from uuid import UUID

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from microworkflows import Later, outbox
from microworkflows.cloudevents import Metadata
from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, Whispered, ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


def record(seconds: list[float], *, flow: str = "timers", cancellable: bool = False) -> list[Metadata]:
    """Record a timer for each of these numbers of seconds, numbered, each in a flow of its own."""
    recorded = []
    with transaction.atomic():
        for number, each in enumerate(seconds):
            later = Later(
                Asked(number=number), timedelta(seconds=each), unless=[Whispered] if cancellable else []
            )
            recorded.append(outbox.record(later, correlation_id=f"{flow}-{number}"))
    return recorded


def early() -> list[UUID]:
    """Return the ids of events that were received before their time."""
    return [row.event_id for row in InboxEvent.objects.all() if row.received_at < _time_of(row)]


def waits(recorded: list[Metadata]) -> list[float]:
    """Return the seconds from the time of each event to its receipt."""
    rows = InboxEvent.objects.of_deliveries([("probe.answer", meta.id) for meta in recorded])
    return [(row.received_at - _time_of(row)).total_seconds() for row in rows]


def _time_of(row: InboxEvent) -> datetime:
    return datetime.fromisoformat(row.body["time"])


def statuses() -> dict[str, int]:
    return {str(row.pk): row.status for row in OutboxEvent.objects.of_type(Asked.event_type)}


@pytest.mark.chaos
def test_timers_fire_once_and_not_early_whatever_is_killed_between_recording_and_handling(
    launch: Launcher, broker: Broker
) -> None:
    worker = launch.worker("probe", "-c", "2")
    recorded = record([0.1 * number for number in range(100)])
    ends_at = time.monotonic() + 10

    while time.monotonic() < ends_at:
        time.sleep(0.7)
        worker.kill()
        worker = launch.worker("probe", "-c", "2", wait=False)

    ids = {str(meta.id) for meta in recorded}
    eventually(lambda: ids <= set(effects()), what="every timer handled")
    assert len(effects()) == len(ids)
    assert early() == []
    assert set(statuses().values()) == {OutboxEvent.Status.RELAYED}
    assert broker.count("probe.dead") == 0


def test_timers_come_within_a_second_of_what_is_recorded_at_their_time(launch: Launcher) -> None:
    launch.worker("probe", "-c", "1")
    timers = record([1 + number / 100 for number in range(300)])
    others: list[Metadata] = []
    while datetime.now(UTC) < timers[-1].time:
        others += ask(5, start=1_000)
        time.sleep(0.05)

    eventually(lambda: len(effects()) == len(timers) + len(others), what="everything handled")

    assert early() == []
    # Whatever else keeps relay and worker busy on this machine, keeps both waiting.
    assert quantiles(waits(timers), n=100)[98] < 1 + max(waits(others))


def test_sleeping_relay_wakes_for_a_timer_recorded_meanwhile(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 600.0}
    relay(broker.url)
    (far, near) = record([3600, 0.2])

    eventually(lambda: statuses()[str(near.id)] == OutboxEvent.Status.RELAYED, what="the near one relayed")

    assert statuses()[str(far.id)] == OutboxEvent.Status.SCHEDULED
    assert broker.count("probe") == 1


def test_timer_whose_cancelling_event_comes_as_it_fires_is_either_sent_or_cancelled(
    launch: Launcher,
) -> None:
    launch.worker("probe", "-c", "1")
    recorded = record([1.0] * 60, flow="race", cancellable=True)

    def cancel(numbers: range) -> None:
        for number in numbers:
            with transaction.atomic():
                outbox.record(Whispered(number=number), correlation_id=f"race-{number}")
            time.sleep(0.03)
        connection.close()

    threads = [threading.Thread(target=cancel, args=[range(first, 60, 2)]) for first in range(2)]
    time.sleep(max((recorded[0].time - datetime.now(UTC)).total_seconds() - 0.5, 0))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = {str(meta.id) for meta in recorded}
    ends = {OutboxEvent.Status.RELAYED, OutboxEvent.Status.CANCELLED}
    eventually(lambda: set(statuses().values()) <= ends, what="each timer at its end")
    sent = {each for each in ids if statuses()[each] == OutboxEvent.Status.RELAYED}
    eventually(lambda: set(effects()) == sent, what="what was sent is handled, and nothing else")
    assert len(effects()) == len(sent)


def test_timer_that_was_cancelled_is_never_sent(launch: Launcher, broker: Broker) -> None:
    record([0.5, 0.5], flow="paid", cancellable=True)
    with transaction.atomic():
        outbox.record(Whispered(number=0), correlation_id="paid-0")

    launch.worker("probe", "-c", "1")

    eventually(lambda: sorted(statuses().values()) == [2, 6], what="one sent, one cancelled")
    eventually(lambda: len(effects()) == 1)
    assert broker.count("probe") == 0
