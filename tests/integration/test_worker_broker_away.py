"""The worker's broker is killed, or its connection cut, while it handles: what comes twice has its effect once."""

import time
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.node import Node
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.proxy import Proxy
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def all_done(count: int) -> bool:
    handled = InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count()
    return handled == count and not OutboxEvent.objects.pending().exists()


@pytest.mark.slow
def test_broker_killed_while_recording_relaying_and_handling(
    database: str, node: Node, tmp_path: Path
) -> None:
    launch = Launcher(
        tmp_path,
        database=database,
        broker=node.url,
        MICROWORKFLOWS={"CONFIRM_TIMEOUT": 3.0},
    )
    try:
        worker = launch.worker("probe,echo", "-c", "2")
        recorder = launch.manage(
            *("probe_record", "one", "--count", "200", "--pause", "0.02", "--behaviour", "emit")
        )
        eventually(lambda: len(effects()) > 30)

        node.restart()

        assert recorder.wait(timeout=60) == 0
        eventually(lambda: all_done(3 * 200), timeout=60, what="everything handled")
        for workflow in ("probe.answer", "echo.hear", "echo.conclude"):
            assert len(effects(workflow)) == 200
        assert worker.status is None
    finally:
        launch.end()


def test_connection_cut_while_handling_and_the_redelivered_copy_meets_the_first(
    database: str, broker: Broker, broker_proxy: Proxy, broker_through_proxy: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    launch = Launcher(tmp_path, database=database, broker=broker_through_proxy)
    try:
        worker = launch.worker("probe", "-c", "2")
        (held,) = ask(behaviour="hold", file=str(trace))
        eventually(trace.exists)

        broker_proxy.cut()
        worker.says("received", times=2)  # the copy, which waits for the first to commit
        ask(100, start=1, behaviour="pause")
        Path(f"{trace}.go").touch()
        for _ in range(5):
            time.sleep(0.3)
            broker_proxy.cut()

        eventually(lambda: all_done(101), timeout=60, what="everything handled")
        assert len(effects()) == 101
        assert str(held.id) in effects()
        eventually(lambda: broker.count("probe") == 0, timeout=30)
        assert broker.count("probe.dead") == 0
        assert worker.status is None
    finally:
        launch.end()


@pytest.mark.slow
def test_worker_that_starts_while_the_broker_is_out_of_memory_tells_so_and_handles_what_is_there(
    database: str, node: Node, tmp_path: Path
) -> None:
    broker = Broker(node.url)
    launch = Launcher(tmp_path, database=database, broker=node.url)
    for number in range(3):
        broker.publish(cloud_event(number=number))
    node.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        eventually(lambda: "memory" in node.ctl("eval", "rabbit_alarm:get_alarms()."), what="the alarm")

        worker = launch.worker("probe", "--no-relay", wait=False)

        eventually(lambda: len(effects()) == 3, timeout=90, what="everything handled")
        worker.says("the broker takes no messages from this worker until it has room again")
        node.ctl("set_vm_memory_high_watermark", "0.4")
        worker.says("the broker takes messages from this worker again")
        eventually(lambda: broker.count("probe") == 0, what="an empty queue")
        assert worker.stop() == 0
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")
        launch.end()


@pytest.mark.slow
def test_worker_whose_rights_are_taken_away_waits_until_it_has_them_again(
    database: str, node: Node, tmp_path: Path
) -> None:
    broker = Broker(node.url)
    launch = Launcher(tmp_path, database=database, broker=node.url)
    try:
        worker = launch.worker("probe", "--no-relay")
        broker.publish(cloud_event(number=1))
        eventually(lambda: len(effects()) == 1, what="a message handled")

        node.ctl("set_permissions", "guest", "^$", "^$", "^$")
        node.ctl("close_all_connections", "on purpose")
        worker.says("ACCESS_REFUSED", times=4)
        node.ctl("set_permissions", "guest", ".*", ".*", ".*")
        broker.publish(cloud_event(number=2))

        eventually(lambda: len(effects()) == 2, timeout=90, what="another")
        assert "Frequent restarts" not in worker.output
        assert worker.stop() == 0
    finally:
        node.ctl("set_permissions", "guest", ".*", ".*", ".*")
        launch.end()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["list", "text"])
def test_worker_and_relay_go_on_at_the_next_broker_of_a_list(
    launch: Launcher, broker: Broker, form: str
) -> None:
    urls = ["amqp://guest:guest@127.0.0.1:1//", broker.url]
    worker = launch.worker(CELERY_BROKER_URL=urls if form == "list" else ";".join(urls))

    ask(3)

    eventually(lambda: all_done(3), what="everything handled")
    assert worker.status is None
