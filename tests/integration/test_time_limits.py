"""Time limits of the worker: what exceeds one has failed, and is retried as late as any other failure."""

import json
from pathlib import Path
from typing import Any

import pytest

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def test_message_that_the_time_limit_kills_is_retried_ever_later_and_parked(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    worker = launch.worker(
        "probe", "-c", "2", "--time-limit", "1", MICROWORKFLOWS={"RETRY_DELAY": 0.2, "MAX_ATTEMPTS": 2}
    )
    held = cloud_event(number=666, behaviour="hold", file=str(trace))
    held_id = json.loads(held)["id"]
    broker.publish(held)
    eventually(trace.exists)
    for number in range(5):
        broker.publish(cloud_event(number=number))

    parked = InboxEvent.objects.parked().filter(msg_id=f"probe.answer:{held_id}")
    (row,) = eventually(lambda: list(parked.all()), what="a parked message")

    assert row.attempts == len(trace.read_text().splitlines()) == 2
    assert (row.error or "").startswith("TimeLimitError: The time limit of 1 s was exceeded")
    eventually(lambda: len(effects()) == 5 and broker.count("probe") == 0, what="the others handled")
    failed = sum(each.attempts for each in InboxEvent.objects.all())  # on a slow machine another may, too
    assert worker.output.count("time limit of 1 s exceeded by probe.asked.v1") == failed
    assert broker.count("probe.dead") == 0
    assert worker.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour",
    [{"behaviour": "hold"}, {"behaviour": "execute", "times": 9, "padding": "SELECT pg_sleep(600)"}],
)
def test_soft_time_limit_is_a_failed_attempt(
    launch: Launcher, broker: Broker, tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    trace = tmp_path / "trace"
    launch.worker("probe", "--soft-time-limit", "1", MICROWORKFLOWS={"RETRY_DELAY": 0.2, "MAX_ATTEMPTS": 2})
    broker.publish(cloud_event(file=str(trace), **behaviour))

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")

    assert row.attempts == len(trace.read_text().splitlines()) == 2
    assert (row.error or "").startswith("SoftTimeLimitExceeded")
