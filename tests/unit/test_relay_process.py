"""How a worker supervises its relay; the relay's process is a stand-in, and so is the clock."""

from types import SimpleNamespace
from typing import Any

import pytest

from microworkflows.worker import relay_process
from microworkflows.worker.relay_process import RelayProcess


class Timer:
    """Notes what is to be called when."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.watch: Any = None

    def call_repeatedly(self, seconds: float, watch: Any) -> None:
        self.watch = watch

    def call_after(self, seconds: float, spawn: Any) -> None:
        self.waits.append(seconds)
        spawn()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(relay_process, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Return the relays that were started; each has ended as soon as its ``status`` is no longer None."""
    started: list[SimpleNamespace] = []

    def popen(command: list[str], **options: Any) -> SimpleNamespace:
        process = SimpleNamespace(pid=len(started) + 1, status=None)
        process.poll = lambda: process.status
        started.append(process)
        return process

    monkeypatch.setattr("microworkflows.worker.relay_process.subprocess.Popen", popen)
    monkeypatch.setattr("microworkflows.worker.relay_process.topology.queues", lambda: ["desk"])
    return started


@pytest.fixture
def timer(processes: list[SimpleNamespace], clock: SimpleNamespace) -> Timer:
    made = Timer()
    queues = SimpleNamespace(consume_from=["desk"])
    worker = SimpleNamespace(timer=made, app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)))
    RelayProcess(worker).start(worker)
    return made


def test_relay_that_runs_is_left_alone(timer: Timer, processes: list[SimpleNamespace]) -> None:
    timer.watch()

    assert len(processes) == 1
    assert timer.waits == []


def test_relay_that_ends_at_once_each_time_is_started_ever_later(
    timer: Timer, processes: list[SimpleNamespace]
) -> None:
    for _ in range(9):
        processes[-1].status = 1
        timer.watch()

    assert timer.waits == [0, 1, 3, 7, 15, 31, 60, 60, 60]
    assert len(processes) == 10


def test_relay_that_ran_for_long_is_started_again_at_once(
    timer: Timer, processes: list[SimpleNamespace], clock: SimpleNamespace
) -> None:
    for _ in range(3):
        processes[-1].status = 1
        timer.watch()
    clock.seconds += 3600
    processes[-1].status = -9
    timer.watch()

    assert timer.waits == [0, 1, 3, 0]
