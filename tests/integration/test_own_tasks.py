"""Tasks of the project's own, late by a countdown or a retry, beside the contexts' quorum queues."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.support.brokers import Broker
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]


@pytest.fixture(params=["direct", "topic"])
def launch(
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


def test_own_task_with_a_countdown_or_a_retry_runs(launch: Launcher, broker_url: str, tmp_path: Path) -> None:
    launch.worker("celery,probe")
    files = {task: tmp_path / task for task in ("write_later", "write_at_second_try")}

    for task, file in files.items():
        launch.run("probe_send", f"probe.{task}", str(file), "hello", "--queue", "celery")

    eventually(lambda: all(map(Path.exists, files.values())), what="the tasks' work")
    eventually(lambda: {file.read_text() for file in files.values()} == {"hello"})
    assert Broker(broker_url).count("celery") == 0


def test_plain_producer_sends_a_task_before_django_is_set_up(database: str, broker_url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database, "BROKER_URL": broker_url}
    command = [sys.executable, "-m", "celery", "-A", "project", "call", "reports.print"]

    sent = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert sent.returncode == 0, sent.stderr
    assert Broker(broker_url).count("celery") == 1
