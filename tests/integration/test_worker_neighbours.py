"""What one message does to a worker costs its neighbours a redelivery at most; and what died with others is no culprit."""

from pathlib import Path

import pytest

from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


@pytest.mark.parametrize("poison", ["too_deep", "unpicklable"])
def test_message_that_cannot_be_sent_to_the_pool_is_a_dead_letter_and_its_neighbours_go_on(
    launch: Launcher, broker: Broker, tmp_path: Path, poison: str
) -> None:
    held = tmp_path / "held"
    with broker.publishing() as send:
        send(cloud_event(number=0, behaviour="hold", file=str(held)))
        for number in range(1, 7):  # prefetched together, and bundled
            send(cloud_event(number=number, file=poison if number in {2, 5} else ""))
    worker = launch.worker(
        "probe", "--no-relay", CELERY_IMPORTS=["tests.integration.probe.poison"], MICROWORKFLOWS={"BUNDLE": 4}
    )
    worker.says("received", times=7)

    Path(f"{held}.go").touch()

    eventually(lambda: handled(5) and broker.count("probe") == 0, what="the innocents' handling")
    assert len(effects()) == 5
    assert sorted(dead.number for dead in broker.take("probe.dead", 2)) == [2, 5]
    worker.says("dead letter in probe.dead: the event cannot be sent to a process of the pool", times=2)
    assert "Unrecoverable" not in worker.output
    broker.publish(cloud_event(number=7))
    eventually(lambda: handled(6), what="one that comes later")
    assert worker.stop() == 0


@pytest.mark.slow
def test_message_that_waits_in_a_worker_that_is_killed_each_time_is_handled_in_the_end(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    broker.publish(cloud_event(number=0, behaviour="hold", file=str(held)))
    broker.publish(cloud_event(number=1))
    for _ in range(22):
        worker = launch.worker("probe", "--no-relay", wait=False)
        worker.until(lambda output: output.count("received") >= 2, what="both were received")
        worker.kill()

    Path(f"{held}.go").touch()
    launch.worker("probe", "--no-relay")

    eventually(lambda: handled(2), what="both handled")
    assert not InboxEvent.objects.parked().exists()
    assert broker.count("probe.dead") == broker.count("probe") == 0
