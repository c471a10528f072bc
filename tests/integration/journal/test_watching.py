"""The watcher with real workers, relays and queues: each part that is stopped is named as the cause, and load alone never is."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from microworkflows.journal import broker as journals_broker
from microworkflows.journal import watcher
from microworkflows.journal.models import Alarm, Event, Flow, Process
from microworkflows.models import OutboxEvent
from tests import soaking
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher, pause, pool_stopped
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgres, pytest.mark.slow]

APPS = [
    *("tests.integration.probe", "tests.integration.echo", "project"),
    *("django_outbox_pattern", "microworkflows", "microworkflows.journal"),
    *("django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"),
    *("django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles"),
]
WITHIN, LATER = 4.0, 25.0
ANSWERED, NOTED = "probe.answered.v1", "probe.noted.v1"
BOUND = timedelta(seconds=14)
"""Time from a deadline to its alarm: what a worker tells every five seconds, and a busy machine."""


@pytest.fixture
def watched(launch: Launcher, broker: Broker) -> Launcher:
    """Return a launcher of processes that report; the journal's queue is new, and empty."""
    launch._settings["INSTALLED_APPS"] = APPS
    name = journals_broker.queue().name
    with broker.channel() as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)
    return launch


def alarm_about(flow: str, awaited: str = ANSWERED) -> Alarm:
    """Wait for the alarm of a flow: where a part that was stopped has left a gap, nobody judges before it was to be filled."""
    of_flow = Alarm.objects.filter(flow__correlation_id=flow, awaited=awaited)
    eventually(of_flow.exists, what=f"an alarm about {awaited}", timeout=LATER + 60 + 35)
    return of_flow.get()


def is_known(flow: str) -> bool:
    return Event.objects.filter(flow__correlation_id=flow, relayed_at__isnull=False).exists()


def is_closed(alarm: Alarm) -> bool:
    return Alarm.objects.filter(pk=alarm.pk, closed_at__isnull=False).exists()


@contextmanager
def held(folder: Path, name: str) -> Iterator[Path]:
    """Yield a file for a handler that waits; it goes on when the block ends."""
    file = folder / name
    yield file
    Path(f"{file}.go").touch()


def test_each_part_that_is_stopped_in_turn_is_named_within_its_deadline(
    watched: Launcher, broker: Broker, tmp_path: Path
) -> None:
    watched._settings["PROBE_DEADLINES"] = {"Answered": WITHIN, "Noted": LATER}
    watched.worker("echo")  # its relay collects, and watches
    relay = watched.relay("probe")

    # The queue: it loses a message that the broker had confirmed.
    (lost,) = ask()
    eventually(lambda: broker.count("probe") == 1 and is_known(lost.correlation_id), what="a message")
    with broker.channel() as channel:
        channel.queue_purge("probe")
    worker = watched.worker("probe", "--no-relay")

    # A process of the pool: it hangs with a message in hand.
    with pool_stopped(worker.pid):
        (hung,) = ask(behaviour="emit")
        alarm = alarm_about(hung.correlation_id)
        assert (alarm.owner, alarm.cause) == ("probe", "under way"), alarm.details
        assert alarm.raised_at - alarm.due_at < BOUND
    eventually(lambda: is_closed(alarm), what="the end of the alarm, once the event came")

    # The relay: the answer stays in the outbox.
    with held(tmp_path, "slow") as file:
        (unrelayed,) = ask(behaviour="hold_emit", file=str(file))
        eventually(file.exists, what="a handler that runs")
        relay.send(signal.SIGTERM)
        relay.wait()
    alarm = alarm_about(unrelayed.correlation_id)
    assert (alarm.owner, alarm.cause) == ("probe", "relay"), alarm.details
    assert alarm.raised_at - alarm.due_at < BOUND
    watched.relay("probe")
    eventually(lambda: is_closed(alarm), what="the end of the alarm, once the answer was relayed")

    alarm = alarm_about(lost.correlation_id, NOTED)
    assert (alarm.owner, alarm.cause) == ("probe", "lost"), alarm.details

    # The worker.
    worker.send(signal.SIGTERM)
    worker.wait()
    (waiting,) = ask(behaviour="emit")
    alarm = alarm_about(waiting.correlation_id)
    assert (alarm.owner, alarm.cause) == ("probe", "worker"), alarm.details
    assert "celery -A project worker -Q probe" in alarm.details
    assert alarm.raised_at - alarm.due_at < BOUND


@pytest.mark.soak
@pytest.mark.chaos
def test_a_killed_worker_is_named_once_it_is_silent(watched: Launcher) -> None:
    watched._settings["PROBE_DEADLINES"] = {"Answered": WITHIN}
    watched.worker("echo")
    watched.relay("probe")
    worker = watched.worker("probe", "--no-relay")
    eventually(
        lambda: Process.objects.filter(kind="worker", contexts=["probe"]).exists(),
        what="the worker's notices",
    )
    os.kill(worker.pid, signal.SIGKILL)

    (waiting,) = ask(behaviour="emit")
    alarm = alarm_about(waiting.correlation_id)

    assert (alarm.owner, alarm.cause) == ("probe", "worker"), alarm.details
    assert alarm.raised_at - alarm.due_at < BOUND + timedelta(seconds=20)


@pytest.mark.soak
def test_load_and_a_collector_that_was_away_raise_no_false_alarm(
    watched: Launcher, soaked: soaking.Report
) -> None:
    watched._settings["PROBE_DEADLINES"] = {"Answered": 20.0}
    number, away = soaking.times(200), {"JOURNAL_COLLECTOR": "none"}
    watched.worker("probe,echo", "-c", "2", MICROWORKFLOWS=away)
    collector = watched.manage("journal_collect", MICROWORKFLOWS=away)
    watched.manage("journal_watch", MICROWORKFLOWS=away)
    collector.says("the journal is written from here")

    for start in range(0, number, 50):
        eventually(partial(_are_done, start - 100), what="orders that go on", timeout=120)
        ask(50, behaviour="emit", start=start)
        if start == number // 100 * 50:
            collector.send(signal.SIGKILL)
            collector.wait()
            pause(25)  # longer than the deadline: all that was told meanwhile comes late
            watched.manage("journal_collect", MICROWORKFLOWS=away)
    eventually(lambda: len(effects("echo.conclude")) == number, what="all orders", timeout=60 + number // 20)
    eventually(
        lambda: Flow.objects.filter(state=Flow.State.DONE).count() == number,
        what="all flows, done in the journal",
        timeout=120 + number // 20,
    )
    watcher.watch(datetime.now(UTC))

    answers = {
        row.correlation_id: row.recorded_at for row in OutboxEvent.objects.filter(destination=ANSWERED)
    }
    alarms = list(Alarm.objects.select_related("flow"))
    false = [each for each in alarms if answers[each.flow.correlation_id] <= each.due_at]
    soaked(orders=number, alarms=len(alarms), false_alarms=len(false))
    assert not false, [(str(each.flow), each.cause, each.details) for each in false]


def _are_done(number: int) -> bool:
    return len(effects("echo.conclude")) >= number
