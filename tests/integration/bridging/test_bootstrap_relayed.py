"""Events of the past by way of real processes: relay, RabbitMQ, workers with bundles. Who wants them acts, and nobody else."""

import re
from typing import Any

import pytest

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.bridging.reports import bootstrapping
from tests.integration.support import probing
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]

SETTINGS: dict[str, Any] = {
    "GUESTS": ["microworkflows.bridging", "tests.integration.bridging.reports"],
    "MICROWORKFLOWS": {"RELAY_POLL": 0.1},
}


def test_rows_of_the_past_reach_one_microworkflow_of_many(
    launch: Launcher, database: str, probe: None
) -> None:
    worker = launch.worker("probe,echo", **SETTINGS)

    said = launch.run(
        "bootstrap",
        "probe.asked.v1",
        "--from",
        "tests.integration.bridging.reports.bootstrapping.asked",
        **SETTINGS,
    )
    (now,) = probing.ask(behaviour="emit")

    counted = bootstrapping.NUMBER + 1
    eventually(lambda: len(probing.effects("echo.count")) == counted, what="all of them counted")
    eventually(lambda: probing.effects("echo.conclude") != [], what="the answer to the question of now")
    skipped = r"skipped probe\.asked\.v1 .*: in this flow probe is bootstrapped"
    eventually(
        lambda: len(re.findall(skipped, worker.output)) == bootstrapping.NUMBER,
        what="those of the past to be passed over",
    )
    assert "echo.count will act on them.\necho.hear will not.\nprobe.answer will not." in said
    assert probing.effects("probe.answer") == probing.effects("echo.hear") == [str(now.id)]
    assert not InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).exists()
    assert OutboxEvent.objects.filter(destination="probe.answered.v1").count() == 1
