"""Sessions of workers with the database: a machine that vanishes must not keep them, and what they hold, for hours."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from celery import Celery

from tests.integration.support import probing
from tests.integration.support.brokers import Broker
from tests.integration.support.link import Link
from tests.integration.support.probing import cloud_event
from tests.integration.support.processes import Launcher, pool_of
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

CLIENTS = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
SERVERS = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "client_connection_check_interval": "5s",
}


def test_sessions_in_which_events_are_handled_have_limits_and_those_of_own_tasks_have_none(
    launch: Launcher, database: str, broker: Broker, tmp_path: Path
) -> None:
    launch.worker("chores,probe", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.tasks"])
    own = Celery(broker=broker.url, set_as_current=False)

    def ask(kind: str) -> Any:
        file = tmp_path / kind
        if kind.startswith("own"):
            own.send_task("probe.note_limits", (str(file),), queue="chores")
        else:
            broker.publish(cloud_event(behaviour="limits", file=str(file)))
        eventually(lambda: file.exists() and file.read_text(), what="the limits")
        return json.loads(file.read_text())

    first, handler, second = ask("own1"), ask("handler"), ask("own2")

    assert handler == {**{name: CLIENTS[name] for name in first if name in CLIENTS}, **SERVERS}
    assert first == second
    assert first["tcp_keepalives_idle"] != "5"
    assert first["TCP_KEEPIDLE"] != 5


def test_projects_own_limits_overrule_the_kits(
    launch: Launcher, database: str, broker: Broker, tmp_path: Path
) -> None:
    options = {"keepalives_idle": 61, "options": "-c tcp_keepalives_count=7"}
    launch.worker("probe", "--no-relay", environment={"DATABASE_URL": f"{database}?{urlencode(options)}"})
    file = tmp_path / "limits"

    broker.publish(cloud_event(behaviour="limits", file=str(file)))

    eventually(lambda: file.exists() and file.read_text(), what="the limits")
    limits = json.loads(file.read_text())
    assert (limits["TCP_KEEPIDLE"], limits["TCP_KEEPINTVL"]) == (61, 2)
    assert (limits["tcp_keepalives_idle"], limits["tcp_keepalives_count"]) == ("5", "7")


@pytest.mark.slow
def test_process_that_is_killed_in_a_long_statement_keeps_no_message_from_the_others(
    launch: Launcher, database: str, broker: Broker, tmp_path: Path
) -> None:
    worker = launch.worker("probe", "-c", "1", "--no-relay")
    file = tmp_path / "trace"
    broker.publish(cloud_event(behaviour="execute", file=str(file), times=1, padding="SELECT pg_sleep(600)"))
    eventually(lambda: file.exists() and file.read_text(), what="the statement")

    os.kill(pool_of(worker.pid)[0], signal.SIGKILL)

    eventually(lambda: len(probing.effects()) == 1, what="the message handled by another process")


@pytest.mark.slow
def test_machine_that_vanishes_with_a_bundle_in_hand_keeps_no_message_from_the_others(
    launch: Launcher, link: Link, server: str, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": server}
    launch.start(sys.executable, "-m", "django", "migrate", environment=environment).wait(timeout=60)
    with psycopg.connect(server, autocommit=True) as session:
        session.execute(probing.CREATE)
    held = tmp_path / "held"
    bodies = [
        cloud_event(number=0, behaviour="hold", file=str(held)),
        *(cloud_event(number=n) for n in (1, 2)),
    ]
    receive = (sys.executable, "-m", "django", "probe_receive")
    launch.start(*link.inside(*receive, "--together", *bodies), environment=environment)
    eventually(held.exists, what="a bundle in hand")

    link.unplug()
    others = launch.start(*receive, *bodies[1:], environment=environment)

    assert others.wait(timeout=90) == 0
    with psycopg.connect(server) as session:
        (count,) = session.execute("SELECT count(*) FROM received WHERE status = 2").fetchone()  # type: ignore[misc]
    assert count == 2
