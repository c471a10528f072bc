"""One relay is active at a time; when it dies, loses its session or is told to stop, the other takes over."""

import logging
import os
import signal
import threading
from collections.abc import Callable

import psycopg
import pytest
from django.db import connection, connections
from pytest_django import Settings

from microworkflows.models import OutboxEvent
from microworkflows.relay import leadership, session
from tests import servers
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker, first_seen
from tests.integration.support.probing import ask
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

SMALL_BATCHES = {"RELAY_BATCH": 5}


def kill(leader: Process) -> None:
    leader.kill()


def ask_to_stop(leader: Process) -> None:
    leader.send(signal.SIGTERM)


def end_its_session(leader: Process) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    "lose_the_leader",
    [kill, *(pytest.param(lose, marks=pytest.mark.slow) for lose in (ask_to_stop, end_its_session))],
)
def test_other_relay_takes_over_and_neither_order_nor_event_is_lost(
    launch: Launcher, broker: Broker, lose_the_leader: Callable[[Process], None]
) -> None:
    leader = launch.relay(MICROWORKFLOWS=SMALL_BATCHES)
    standby = launch.relay(MICROWORKFLOWS=SMALL_BATCHES, wait=False)
    ask(300)
    eventually(lambda: OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).exists())
    assert ": leads" not in standby.output

    lose_the_leader(leader)
    ask(300, start=300)

    arrived = broker.take("echo", 600)
    assert first_seen(arrived) == list(range(600))
    eventually(lambda: not OutboxEvent.objects.pending().exists())
    assert (
        len(arrived) - 600 <= 2 * SMALL_BATCHES["RELAY_BATCH"]
    )  # at most the two batches that were under way
    if lose_the_leader is end_its_session:
        assert leader.status is None
        assert "nothing is lost" in leader.output
        assert "Traceback" not in leader.output
    else:
        standby.says(": leads")
    if lose_the_leader is ask_to_stop:
        assert leader.wait() == 0
        assert len(arrived) == 600


@pytest.mark.slow
def test_leader_that_freezes_loses_the_lead_and_marks_nothing_once_it_thaws(
    launch: Launcher, broker: Broker
) -> None:
    leader = launch.relay(MICROWORKFLOWS=SMALL_BATCHES)
    standby = launch.relay(MICROWORKFLOWS=SMALL_BATCHES, wait=False)
    standby.says(f"relay probe: stands by; process {leader.pid} on ")
    ask(300)
    eventually(lambda: OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED).exists())
    leader.send(signal.SIGSTOP)
    ask(300, start=300)

    standby.says(f"relay probe: takes over from process {leader.pid} on ", timeout=80)
    standby.says(": leads")
    arrived = broker.take("echo", 600)
    eventually(lambda: not OutboxEvent.objects.pending().exists())
    leader.send(signal.SIGCONT)

    leader.says("relay probe: lost the lead")
    leader.says(f"relay probe: stands by; process {standby.pid} on ")
    assert "Traceback" not in leader.output
    ask(10, start=600)
    arrived += broker.take("echo", 10)
    assert first_seen(arrived) == list(range(610))
    assert len(arrived) - 610 <= 2 * SMALL_BATCHES["RELAY_BATCH"]
    assert standby.output.count("stands by") == 1


def test_only_one_of_three_relays_publishes(launch: Launcher, broker: Broker) -> None:
    relays = [launch.relay(wait=False, MICROWORKFLOWS=SMALL_BATCHES) for _ in range(3)]
    eventually(lambda: any(": leads" in relay.output for relay in relays), timeout=40)

    ask(200)

    assert [message.number for message in broker.take("echo", 200)] == list(range(200))
    assert sum("relayed " in relay.output for relay in relays) == 1


@pytest.mark.slow
def test_idle_relay_survives_the_end_of_its_session(launch: Launcher, broker: Broker) -> None:
    relay = launch.relay()

    end_its_session(relay)
    relay.says(": leads", times=2)
    ask()

    assert [message.number for message in broker.take("echo", 1)] == [0]
    assert "Traceback" not in relay.output


def test_leader_of_another_role_is_named_and_left_alone(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(leadership, "LEASE_SECONDS", 0.0)
    role = f"{servers.RUN}_standby"
    own = connections["default"]
    monkeypatch.setattr(own, "settings_dict", own.settings_dict)  # so that it is put back
    session.prepare(own)
    connection.close()
    leader = leadership.leadership(connections["default"], "probe")
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{role}" LOGIN')
    assert leader.acquire()

    def stand_by() -> None:
        own = connections["default"]
        own.settings_dict = {**own.settings_dict, "USER": role}
        for grant in (None, "pg_read_all_stats"):
            if grant is not None:
                with psycopg.connect(database, autocommit=True) as administrator:
                    administrator.execute(f'GRANT {grant} TO "{role}"')
            standby = leadership.leadership(own, "probe")
            standby.stand_by()
            standby.stand_by()
            own.close()

    try:
        thread = threading.Thread(target=stand_by)
        thread.start()
        eventually(lambda: not thread.is_alive())
    finally:
        leader.release()
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute(f'DROP ROLE "{role}"')

    me = f"process {os.getpid()} on "
    blind, seen, refused = [line for line in caplog.records if line.name == "microworkflows.relay.leadership"]
    assert blind.getMessage().startswith(f"relay probe: stands by; {me}")
    assert "may not see whether it is alive" in blind.getMessage()
    assert seen.getMessage().startswith(f"relay probe: stands by; {me}")
    assert (refused.levelno, f"{me}" in refused.getMessage()) == (logging.ERROR, True)
    assert "this role may not end its session" in refused.getMessage()


@pytest.mark.slow
def test_relay_whose_database_falls_silent_says_so_leaves_it_and_goes_on_elsewhere(
    launch: Launcher, broker: Broker, database_proxy: Proxy, database_through_proxy: str
) -> None:
    relay = launch.relay(environment={"DATABASE_URL": database_through_proxy})
    database_proxy.silence()

    relay.says("relay probe: the database has not answered for ", timeout=80)
    relay.says("relay probe: waits for the database and tries again every 10 s at the latest", timeout=80)
    database_proxy.restore()

    ask(5)
    assert first_seen(broker.take("echo", 5, timeout=60)) == list(range(5))
    assert "Traceback" not in relay.output


def test_installations_in_two_schemas_of_one_database_have_a_leader_each(database: str) -> None:
    schema = "second"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"CREATE TABLE {schema}.published (LIKE public.published)")
    first, second, third = (connection.copy() for _ in range(3))
    for other in (second, third):
        other.settings_dict["OPTIONS"] = {"options": f"-c search_path={schema},public"}
    try:
        leads = leadership.leadership(first, "probe").acquire()
        leads_second = leadership.leadership(second, "probe").acquire()
        stands_by = leadership.leadership(third, "probe")

        assert (leads, leads_second, stands_by.acquire()) == (True, True, False)
        stands_by.stand_by()
    finally:
        for other in (first, second, third):
            other.close()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")


def test_relays_of_two_schemas_are_woken_for_their_own_events_and_relay_no_others(
    relay: StartRelay, broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 100_000.0}
    in_second = {"options": "-c search_path=second,public"}
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA second")
        for table in ("published", "received"):
            cursor.execute(f"CREATE TABLE second.{table} (LIKE public.{table} INCLUDING ALL)")

    def states(schema: str) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT status FROM {schema}.published")
            return [status for (status,) in cursor.fetchall()]

    def ask_in_second() -> None:
        ask(start=2)
        connections["default"].close()

    relays = []
    try:
        relays.append(relay(broker.url))
        ask(start=0)
        assert [message.number for message in broker.take("echo", 1)] == [0]

        monkeypatch.setitem(connections.settings["default"], "OPTIONS", in_second)
        relays.append(relay(broker.url))
        recorder = threading.Thread(target=ask_in_second)
        recorder.start()
        eventually(lambda: not recorder.is_alive())
        assert [message.number for message in broker.take("echo", 1)] == [2]
        ask(start=1)
        assert [message.number for message in broker.take("echo", 1)] == [1]

        done = int(OutboxEvent.Status.RELAYED)
        eventually(lambda: (states("public"), states("second")) == ([done, done], [done]))
    finally:
        for running in relays:
            running.stop()
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA second CASCADE")
