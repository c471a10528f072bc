"""How a worker finds the stopped processes of its pool; the processes are real, the pool is a stand-in."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from microworkflows.worker.stopped import StoppedProcesses
from project.processes.tree import state
from tests.integration.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells in /proc")


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[bytes]"]]:
    started = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_process_that_stays_stopped_is_killed_and_others_are_left_alone(
    processes: list["subprocess.Popen[bytes]"],
) -> None:
    stopped, running = processes
    pool = SimpleNamespace(_pool=SimpleNamespace(_pool=processes))
    step = StoppedProcesses(SimpleNamespace())

    def stop_and_look(times: int) -> None:
        os.kill(stopped.pid, signal.SIGSTOP)
        eventually(lambda: state(stopped.pid) == "T", what="a stopped process")
        for _ in range(times):
            step.look(pool)

    stop_and_look(5)
    os.kill(stopped.pid, signal.SIGCONT)
    eventually(lambda: state(stopped.pid) == "S", what="a process that goes on")
    step.look(pool)
    stop_and_look(5)
    assert state(stopped.pid) == "T", "it was not stopped all the time"

    step.look(pool)

    assert stopped.wait(30) == -signal.SIGKILL
    assert running.poll() is None
