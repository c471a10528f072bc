"""How a worker supervises its relay; the relay's process is a stand-in, and so is the clock."""

import os
import subprocess
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
        process = SimpleNamespace(pid=len(started) + 1, status=None, was_killed=False)
        process.poll = lambda: process.status
        life = os.dup(options["pass_fds"][0])
        process.show_life = lambda: os.write(life, b".")

        def kill() -> None:
            process.was_killed, process.status = True, -9

        process.kill = kill
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


def test_relay_that_falls_silent_is_killed_and_one_that_starts_has_more_time(
    timer: Timer, processes: list[SimpleNamespace]
) -> None:
    first = processes[0]
    for _ in range(60):
        timer.watch()
    assert not first.was_killed, "it may take its time to start"

    for _ in range(100):
        first.show_life()
        timer.watch()
    assert not first.was_killed

    for _ in range(30):
        timer.watch()
    assert first.was_killed
    timer.watch()

    assert len(processes) == 2


def test_relay_that_cannot_be_started_is_tried_again(
    timer: Timer, processes: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    popen, refusals = subprocess.Popen, [OSError("no memory"), OSError("no memory")]

    def refuse_at_first(*args: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return popen(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", refuse_at_first)
    processes[0].status = 1
    timer.watch()

    assert timer.waits == [0, 1, 3]
    assert len(processes) == 2
