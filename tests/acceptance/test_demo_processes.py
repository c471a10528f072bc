"""The demo's processes, with small programs in their place: what does not start, dies or does not end is dealt with."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.demo.errors import ProcessFailedError
from project.demo.interruption import Interruption
from project.demo.processes import Processes, Program
from project.processes.tree import descendants, exists
from tests.acceptance.running import wait_until

pytestmark = pytest.mark.acceptance

Supervise = Callable[[str, list[str]], Processes]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Return what starts a Python program under the demo's supervision; it is ready once it says so."""
    running = []
    with (tmp_path / "demo.lock").open("a+") as lock:

        def start(program: str, told: list[str]) -> Processes:
            small = Program(
                name="small",
                command=[sys.executable, "-c", program],
                is_ready=lambda process: "ready" in process.output,
            )
            processes = Processes(
                [small],
                folder=tmp_path,
                logs=tmp_path / "log",
                environment={**os.environ, "PYTHONUNBUFFERED": "1"},
                lock=lock,
                interruption=Interruption(),
                tell=told.append,
            )
            running.append(processes)
            processes.start()
            return processes

        yield start
        for processes in running:
            processes.stop()


def test_process_that_cannot_start_is_reported_with_the_end_of_its_log(
    tmp_path: Path, supervise: Supervise
) -> None:
    processes = supervise("import sys; sys.exit('no such queue')", [])

    with pytest.raises(ProcessFailedError) as failure:
        processes.wait_until_ready(seconds=120)

    assert "small ended with status 1 before it was ready" in str(failure.value)
    assert str(tmp_path / "log" / "small.log") in str(failure.value)
    assert str(failure.value).endswith("no such queue")


def test_process_that_is_never_ready_is_reported(tmp_path: Path, supervise: Supervise) -> None:
    processes = supervise("import time; print('thinking'); time.sleep(60)", [])

    with pytest.raises(
        ProcessFailedError, match=r"small is not ready, and nothing happened for 1 s(.|\n)+thinking"
    ):
        processes.wait_until_ready(seconds=1)


def test_process_that_dies_again_and_again_is_given_up(tmp_path: Path, supervise: Supervise) -> None:
    told: list[str] = []
    processes = supervise("import os; print('ready'); os.kill(os.getpid(), 9)", told)

    def watch() -> bool:
        try:
            processes.watch()
        except ProcessFailedError as error:
            assert "small ended 6 times within a minute" in str(error)  # noqa: PT017  (it comes at some look or other)
            return True
        return False

    wait_until("the demo gives up", watch, seconds=20)
    assert len(told) == 5
    assert "was killed by SIGKILL; it is started again as process" in told[0]


def test_process_that_does_not_end_when_asked_is_killed_with_its_children(
    tmp_path: Path, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project.demo.processes._STOP_SECONDS", 0.5)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    )
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {stubborn!r}], start_new_session=True); {stubborn}"
    processes = supervise(program, [])
    processes.wait_until_ready(seconds=120)
    name, pid = (tmp_path / "demo.lock").read_text().splitlines()[-1].split()
    children = wait_until("the child is there", lambda: descendants(int(pid)), seconds=10)

    processes.stop()

    assert name == "small"
    wait_until("all have ended", lambda: not any(map(exists, {int(pid), *children})), seconds=5)
