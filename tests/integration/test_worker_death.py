"""Workers are killed, stopped, restarted and doubled in the middle of their work: effects come about once."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from django.db import connection

from microworkflows.models import InboxEvent, OutboxEvent
from tests import soaking
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher, children, exists, pool_of, relays_of, state
from tests.integration.support.waiting import eventually
from tests.soaking import Report

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]


def handled(count: int) -> bool:
    return InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == count


@pytest.mark.slow
def test_pool_that_is_renewed_all_the_time_handles_everything_once_and_leaks_nothing(
    launch: Launcher,
) -> None:
    ask(25, behaviour="emit")
    worker = launch.worker("probe,echo", "--concurrency", "2", "--max-tasks-per-child", "2")
    (relay,) = relays_of(worker.pid)

    sessions = 0
    while not (handled(75) and not OutboxEvent.objects.pending().exists()):
        sessions = max(sessions, sessions_of_others())
        assert worker.status is None

    assert len(effects("probe.answer")) == len(effects("echo.hear")) == len(effects("echo.conclude")) == 25
    assert relays_of(worker.pid) == [relay]
    assert (
        sessions <= 2 * 2 + 2 + 4
    )  # pool processes old and new, one relay thread for each context, and slack
    eventually(lambda: not [pid for pid in children(worker.pid) if state(pid) == "Z"], what="no zombies")
    assert "Traceback" not in worker.output
    assert worker.stop() == 0
    eventually(lambda: not exists(relay), what="the relay gone")
    eventually(lambda: sessions_of_others() == 0, what="all sessions closed")


def sessions_of_others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_worker_killed_in_the_middle_loses_nothing_and_takes_its_relay_along(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    worker = launch.worker("probe", "-c", "2")
    (held,) = ask(behaviour="hold", file=str(trace))
    ask(100, start=1, behaviour="pause")
    eventually(lambda: trace.exists() and len(effects()) > 10)
    (relay,) = relays_of(worker.pid)

    worker.kill()

    eventually(lambda: not exists(relay), timeout=10, what="the relay of a killed worker gone")
    assert str(held.id) not in effects()
    Path(f"{trace}.go").touch()
    launch.worker("probe", "-c", "2")
    eventually(lambda: handled(101), what="everything handled")
    assert len(effects()) == len(set(effects())) == 101
    assert broker.count("probe.dead") == 0


@pytest.mark.slow
def test_worker_that_is_asked_to_stop_finishes_what_it_handles(launch: Launcher, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    worker = launch.worker()
    (meta,) = ask(behaviour="hold", file=str(trace))
    eventually(trace.exists)
    (relay,) = relays_of(worker.pid)

    worker.send(signal.SIGTERM)
    worker.says("Warm shutdown")
    assert effects() == []
    Path(f"{trace}.go").touch()

    assert worker.wait() == 0
    assert effects() == [str(meta.id)]
    assert handled(1)
    eventually(lambda: not exists(relay), what="the relay gone")
    assert len(trace.read_text().splitlines()) == 1


def test_worker_that_is_asked_to_stop_relays_what_its_last_handlers_recorded(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    worker = launch.worker()
    ask(behaviour="hold_emit", file=str(trace))
    eventually(trace.exists)

    worker.send(signal.SIGTERM)
    worker.says("Warm shutdown")
    time.sleep(1)  # so that whatever is ended before the pool has ended
    ask(20, start=1, behaviour="trace", file=str(tmp_path / "other"))
    Path(f"{trace}.go").touch()

    assert worker.wait() == 0
    assert not OutboxEvent.objects.pending().exists()
    assert broker.count("echo") == 22
    assert broker.count("probe") == 20


@pytest.mark.slow
def test_two_workers_on_one_queue_and_duplicates_of_everything_have_each_effect_once(
    launch: Launcher, broker: Broker
) -> None:
    bodies = [cloud_event(number=number, behaviour="pause" if number < 20 else "ok") for number in range(60)]
    singles = [cloud_event(number=number) for number in range(60, 68)]  # the broker gives half to each
    workers = [launch.worker("probe", "-c", "2", wait=False) for _ in range(2)]
    for worker in workers:
        worker.says(" ready.")

    with broker.publishing() as publish:
        for body in singles:
            publish(body)
        for body in bodies:
            for _ in range(4):  # four processes take the same event at the same moment
                publish(body)

    eventually(lambda: handled(68) and broker.count("probe") == 0)
    eventually(lambda: sum(worker.output.count("is a duplicate") for worker in workers) == 180)
    assert len(effects()) == 68
    assert not InboxEvent.objects.exclude(status=InboxEvent.Status.HANDLED).exists()
    assert all("by probe.answer" in worker.output for worker in workers)


@pytest.mark.slow
def test_event_that_two_contexts_hear_is_handled_once_by_each_in_two_workers(launch: Launcher) -> None:
    workers = [launch.worker("probe", wait=False), launch.worker("echo", wait=False)]
    ask(30, behaviour="emit")

    eventually(lambda: handled(90), timeout=40)

    for workflow in ("probe.answer", "echo.hear", "echo.conclude"):
        assert len(effects(workflow)) == 30
    probe, echo = workers
    assert "by echo.hear" not in probe.output
    assert "by probe.answer" not in echo.output


@pytest.mark.slow
def test_one_worker_and_one_relay_serve_two_contexts_also_after_both_were_killed(launch: Launcher) -> None:
    worker = launch.worker("probe,echo")
    ask(300, behaviour="emit")
    eventually(InboxEvent.objects.exists)
    assert len(relays_of(worker.pid)) == 1
    for pid in (*relays_of(worker.pid), *pool_of(worker.pid)):
        os.kill(pid, signal.SIGKILL)

    eventually(lambda: handled(900), timeout=60)

    for workflow in ("probe.answer", "echo.hear", "echo.conclude"):
        assert len(effects(workflow)) == len(set(effects(workflow))) == 300
    assert len(relays_of(worker.pid)) == 1
    assert not OutboxEvent.objects.pending().exists()


@pytest.mark.slow
def test_worker_without_relay_leaves_it_to_the_command(launch: Launcher, broker: Broker) -> None:
    worker = launch.worker("probe", "--no-relay")
    ask(5)
    assert relays_of(worker.pid) == []
    broker.publish(cloud_event())
    eventually(lambda: handled(1))
    assert OutboxEvent.objects.pending().count() == 5

    launch.relay()

    eventually(lambda: handled(6))


@pytest.mark.slow
def test_queue_declared_before_with_other_arguments_ends_the_worker_with_a_clear_error(
    launch: Launcher, broker: Broker
) -> None:
    with broker.channel() as channel:
        channel.queue_delete("probe")
        channel.queue_declare("probe", durable=True, auto_delete=False)

    worker = launch.worker(wait=False)

    assert worker.wait() != 0
    assert "exists with other arguments" in worker.output
    assert "delete it, and start the worker again" in worker.output


@pytest.mark.slow
def test_queue_that_is_deleted_under_a_worker_is_declared_again(launch: Launcher, broker: Broker) -> None:
    worker = launch.worker()
    ask()
    eventually(lambda: handled(1))

    with broker.channel() as channel:
        channel.queue_delete("probe")
    eventually(lambda: broker.count("probe") >= 0, what="the queue again")
    (meta,) = ask(
        start=1
    )  # maybe before the queue is bound again: then echo alone hears it, and nobody misses it

    eventually(lambda: handled(2) or not launch.run("relay", "--again", "--since", meta.time.isoformat()))
    assert worker.stop(timeout=10) == 0


def at_least(count: int) -> bool:
    return len(effects()) >= count


def kill_one(find: Callable[[], list[int]]) -> None:
    with suppress(ProcessLookupError):  # it ended by itself just now
        os.kill(eventually(find)[0], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.soak
def test_everything_at_once(launch: Launcher, broker: Broker, soaked: Report) -> None:
    """Two workers a context; pool processes, relays and a whole worker are killed while events are recorded."""
    rounds, count = soaking.times(4), soaking.times(100)
    first = launch.worker("probe,echo", "-c", "2")
    second = launch.worker("probe,echo", "-c", "2", wait=False)
    recorders = [
        launch.manage(
            "probe_record", f"recorder {n}", "--count", str(count), "--pause", "0.02", "--behaviour", "emit"
        )
        for n in range(2)
    ]
    second.says(" ready.")
    for round_ in range(rounds):
        eventually(partial(at_least, 50 * round_))
        kill_one(lambda: pool_of(first.pid))
        kill_one(lambda: [pid for pid in relays_of(first.pid) if exists(pid)])
        if round_ % 4 == 2:
            second.kill()
            second = launch.worker("probe,echo", wait=False)

    assert [recorder.wait() for recorder in recorders] == [0, 0]
    eventually(lambda: handled(3 * 2 * count), timeout=60, what="everything handled")
    for workflow in ("probe.answer", "echo.hear", "echo.conclude"):
        assert len(effects(workflow)) == 2 * count
    assert not OutboxEvent.objects.exclude(status=OutboxEvent.Status.RELAYED).exists()
    assert broker.count("probe.dead") == broker.count("echo.dead") == 0
    soaked(kills=2 * rounds + rounds // 4, events=3 * 2 * count)
