"""Tasks of the project's own, late by a countdown or a retry, beside the contexts' quorum queues."""

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
