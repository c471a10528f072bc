"""Tasks of the project's own, beside the contexts' quorum queues: they run as they do without the kit."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from celery import Celery
from django.db import connection

from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event
from tests.integration.support.processes import ROOT, Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

KEEPS_NONE = celery.VERSION >= (5, 6)
"""Celery 5.5 keeps the session of a task while it is healthy, with the kit as without it."""
CHORES: dict[str, Any] = {"CELERY_IMPORTS": ["tests.integration.probe.tasks"]}


@pytest.fixture(params=["direct", "topic"])
def launch_of_exchange(
    request: pytest.FixtureRequest, database: str, broker_url: str, tmp_path: Path
) -> Iterator[Launcher]:
    """Yield what starts a worker of a project whose default exchange is of this kind."""
    launcher = Launcher(
        tmp_path,
        database=database,
        broker=broker_url,
        CELERY_IMPORTS=["tests.integration.probe.tasks"],
        CELERY_TASK_DEFAULT_EXCHANGE="own",
        CELERY_TASK_DEFAULT_EXCHANGE_TYPE=request.param,
    )
    yield launcher
    launcher.end()


@pytest.mark.slow
def test_own_task_with_a_countdown_or_a_retry_runs(
    launch_of_exchange: Launcher, broker_url: str, tmp_path: Path
) -> None:
    launch = launch_of_exchange
    launch.worker("celery,probe")
    files = {task: tmp_path / task for task in ("write_later", "write_at_second_try")}

    for task, file in files.items():
        launch.run("probe_send", f"probe.{task}", str(file), "hello", "--queue", "celery")

    eventually(lambda: all(map(Path.exists, files.values())), what="the tasks' work")
    eventually(lambda: {file.read_text() for file in files.values()} == {"hello"})
    assert Broker(broker_url).count("celery") == 0


@pytest.mark.slow
def test_plain_producer_sends_a_task_before_django_is_set_up(database: str, broker_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database, "BROKER_URL": broker_url}
    command = [sys.executable, "-m", "celery", "-A", "project", "call", "reports.print"]

    sent = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert sent.returncode == 0, sent.stderr
    assert Broker(broker_url).count("celery") == 1


def sessions() -> set[int]:
    """Return the sessions of others in the test's database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def statements() -> str:
    """Return what the sessions of others do."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(string_agg(query, ' '), '') FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'active' AND pid <> pg_backend_pid()"
        )
        return str(cursor.fetchone()[0])


def end_sessions() -> None:
    """End the sessions of others, as a restart of the server does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) pid", [list(sessions())]
        )


class OwnTasks:
    """Sends tasks of the project's own to a worker with one process."""

    def __init__(self, broker_url: str, folder: Path) -> None:
        self._app = Celery(broker=broker_url, set_as_current=False)
        self._folder = folder
        self._count = 0

    def send(self, name: str, statement: str) -> Path:
        self._count += 1
        file = self._folder / f"answer_{self._count}"
        self._app.send_task(f"probe.{name}", (str(file), statement), queue="chores")
        return file

    def ask(self) -> tuple[int, int]:
        """Have the worker ask its database; return the ids of process and session that did."""
        file = self.send("ask_database", "SELECT 'well'")
        eventually(lambda: file.exists() and file.read_text().endswith("well"), what="an answer")
        process, session, _ = file.read_text().split()
        return int(process), int(session)


@pytest.mark.parametrize(
    "app",
    [
        pytest.param("tests.integration.plain", id="without the kit", marks=pytest.mark.slow),
        pytest.param("project", id="with it"),
    ],
)
def test_own_tasks_outlast_a_lost_session_and_keep_none(
    launch: Launcher, broker: Broker, tmp_path: Path, app: str
) -> None:
    with_kit = app == "project"
    options = ["--no-relay"] if with_kit else []
    worker = launch.worker(
        "chores,probe" if with_kit else "chores",
        *options,
        app=app,
        environment={"PYTHONPATH": str(ROOT)},
        **CHORES,
    )
    own = OwnTasks(broker.url, tmp_path)

    def handle_events() -> set[int]:
        """Have the same process handle two events; return the sessions that it did so in."""
        return {handle_event() for _ in range(2 * with_kit)}

    def handle_event() -> int:
        file = tmp_path / f"session_{time.monotonic_ns()}"
        broker.publish(cloud_event(behaviour="session", file=str(file)))
        eventually(lambda: file.exists() and file.read_text(), what="a handled event")
        return int(file.read_text())

    process, first = own.ask()
    if KEEPS_NONE:
        eventually(lambda: first not in sessions(), what="the end of its session")

    kept = handle_events()
    assert len(kept) == with_kit
    again, second = own.ask()
    if KEEPS_NONE:
        eventually(lambda: not sessions() & {second, *kept}, what="the end of every session")
        assert second not in {first, *kept}
    else:
        assert {first, *kept} == {second}
    assert again == process

    asking = own.send("ask_database", "SELECT pg_sleep(60)")
    eventually(lambda: "pg_sleep" in statements(), what="a session at work")
    end_sessions()
    own.ask()
    handle_events()
    assert not asking.exists()

    handle_events()
    end_sessions()
    own.ask()

    too_much = own.send("ask_too_much", "SELECT pg_sleep(60)")
    eventually(too_much.exists, what="the soft time limit")
    own.ask()
    handle_events()
    assert worker.status is None
    end_sessions()  # the server does not notice that nobody waits for its answer any more
