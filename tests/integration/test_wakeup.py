"""A commit wakes the relay at once; a lost notification costs one poll."""

import logging
import threading
from collections.abc import Callable
from unittest import mock

import pytest
from django.db import OperationalError, connection, connections, transaction
from pytest_django import Settings

from microworkflows import outbox, wakeup
from microworkflows.models import OutboxEvent
from tests.integration.conftest import StartRelay
from tests.integration.support import processes
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Asked, ask
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


NEVER = 100_000.0
"""Seconds between two polls: whatever arrives, no poll has found it."""


def test_notification_wakes_an_idle_relay_long_before_it_polls(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": NEVER}
    relay(broker.url)
    ask()
    broker.take("echo", 1)

    for number in range(30):
        processes.pause(0.003 * (number % 7))  # at every moment of the relay's round
        ask(start=number)
        assert [message.number for message in broker.take("echo", 1, quiet=0.001)] == [number]


def test_lost_notification_is_made_up_by_polling(
    relay: StartRelay, broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.4}
    monkeypatch.setattr(wakeup, "notify_on_commit", lambda *_, **__: None)
    relay(broker.url)
    processes.pause(0.5)

    ask(3)

    assert [message.number for message in broker.take("echo", 3)] == [0, 1, 2]


def test_relay_that_polls_rarely_still_stops_at_once(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": NEVER}
    running = relay(broker.url)
    ask()
    broker.take("echo", 1)

    running.stop()


def test_notification_is_sent_once_after_the_commit_and_not_inside_the_transaction(
    heard: Callable[[], list[str]], probe: None
) -> None:
    with transaction.atomic():
        outbox.record(Asked(number=1))
        outbox.record(Asked(number=2))
        assert heard() == []

    assert heard() == ["microworkflows_probe"]


def test_event_of_a_savepoint_that_rolled_back_never_was_and_the_others_wake_the_relay(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": NEVER}
    relay(broker.url)
    ask()
    broker.take("echo", 1)

    with transaction.atomic():
        with transaction.atomic():
            outbox.record(Asked(number=1))
            transaction.set_rollback(True)
        with transaction.atomic():
            outbox.record(Asked(number=2))
            with transaction.atomic():
                outbox.record(Asked(number=3))
                transaction.set_rollback(True)
        outbox.record(Asked(number=4))

    assert [message.number for message in broker.take("echo", 2)] == [2, 4]


def test_failing_notification_does_not_fail_the_business_that_recorded(
    relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.2}
    with mock.patch.object(wakeup, "channel", side_effect=OperationalError("on purpose")):
        ask()

    relay(broker.url)

    assert [message.number for message in broker.take("echo", 1)] == [0]


@pytest.mark.parametrize("trouble", ["ended", "silent"])
def test_wake_up_that_fails_costs_one_calm_line_and_no_long_wait(
    database: str,
    database_proxy: Proxy,
    probe: None,
    trouble: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeup, "_ANSWER_SECONDS", 0.5)
    trouble_comes = database_proxy.cut if trouble == "ended" else database_proxy.silence

    def record() -> None:
        own = connections["default"]
        own.settings_dict = {**own.settings_dict, "HOST": "127.0.0.1", "PORT": database_proxy.port}
        with transaction.atomic():
            outbox.record(Asked(number=1))
            transaction.on_commit(trouble_comes)
            own.run_on_commit.reverse()  # so that the trouble comes first
        own.close()

    recorder = threading.Thread(target=record)
    recorder.start()
    eventually(lambda: not recorder.is_alive())

    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert line.getMessage().startswith(
        "relay probe was not woken and finds the recorded events at its next look"
    )
    assert line.exc_info is None
    assert OutboxEvent.objects.pending().count() == 1


def test_waiting_on_a_session_that_ended_raises_djangos_error(database: str) -> None:
    errors: list[BaseException] = []
    listening = threading.Event()

    def wait() -> None:
        try:
            wakeup.listen(connection, "probe")
            listening.set()
            wakeup.wait(connection, timeout=NEVER)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(listening.is_set)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database() AND query LIKE 'LISTEN%%'"
        )

    eventually(lambda: not waiter.is_alive())
    assert [type(error) for error in errors] == [OperationalError]
