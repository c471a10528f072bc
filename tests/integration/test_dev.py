"""``manage.py dev`` in a project of one's own: all processes in one terminal, started again at changes, and ended together."""

import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from microworkflows.management.programs import Program
from project.processes.process import Process, free_ports
from tests.integration.support.own_project import Project
from tests.integration.support.waiting import eventually

BOOK = "from rooms import operations; operations.create_example(name='first')"
HANDLED = "by rooms.check_example"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one context and its tables."""
    made = Project(tmp_path_factory.mktemp("project"))
    made.run(sys.executable, "manage.py", "startcontext", "rooms")
    made.install("rooms")
    made.run(sys.executable, "manage.py", "makemigrations", "rooms")
    made.run(sys.executable, "manage.py", "migrate")
    return made


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def dev(project: Project, port: int) -> Iterator[Process]:
    """The command, whose worker and web server are ready."""
    with Process(
        *(sys.executable, "manage.py", "dev", str(port)),
        environment=project.environment,
        log=project.folder / "dev.log",
        cwd=project.folder,
    ) as process:
        process.says(" ready.")
        process.says("Starting development server")
        yield process


@pytest.mark.slow
@pytest.mark.acceptance
def test_dev_serves_handles_and_starts_again_what_has_changed_until_ctrl_c(
    project: Project, port: int, dev: Process
) -> None:
    workflows = project.folder / "rooms/workflows.py"
    right = workflows.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/login/") as page:  # that it answers
        assert page.status == 200
    project.run(sys.executable, "manage.py", "shell", "-v", "0", "-c", BOOK)
    dev.says(HANDLED)
    project.run(sys.executable, "manage.py", "startcontext", "doors")  # the command does not know it

    workflows.write_text(right + "def (\n")

    dev.says("worker has ended with status 1; it is started again when code changes")
    workflows.write_text(right + "# mended\n")
    dev.says(" ready.", times=2)
    eventually(lambda: is_noticed(project.folder / "doors/events.py", dev))
    dev.says(" ready.", times=3)
    assert dev.output.count("worker has ended") == 1
    dev.send(signal.SIGINT)
    assert dev.wait() == 0
    assert dev.output.count("worker: Warm shutdown") == 3
    assert dev.family == set()


def is_noticed(path: Path, dev: Process) -> bool:
    """Change a file that nobody has imported yet, and again if that came too early; tell whether the command says so."""
    if time.time() > path.stat().st_mtime + 5:
        path.touch()
    return f"{path.parent.name}/{path.name} has changed" in dev.output


@pytest.mark.slow
@pytest.mark.acceptance
def test_nothing_outlives_a_dev_that_is_killed(dev: Process) -> None:
    dev.says("relay rooms: leads")
    assert len(dev.family) >= 7  # itself, two leashes, two of the web server, worker, pool, relay

    dev.send(signal.SIGKILL)

    eventually(lambda: not dev.family, timeout=40)


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def test_program_that_does_not_end_when_asked_is_killed_with_its_children() -> None:
    lines: list[str] = []
    program = Program("small", [sys.executable, "-c", STUBBORN], tell=lines.append, stop_seconds=0.2)
    program.start()
    eventually(lambda: lines)
    child = Path("/proc") / lines[0].split()[1]
    assert child.exists()

    program.end()

    eventually(lambda: not child.exists() or "Z (zombie)" in (child / "status").read_text())
    assert program.status is None


def test_program_that_ends_by_itself_tells_its_status_and_can_start_again() -> None:
    lines: list[str] = []
    program = Program(
        "small", [sys.executable, "-c", "print('here'); raise SystemExit(3)"], tell=lines.append
    )

    program.start()
    eventually(lambda: program.status is not None)
    assert program.status == 3
    program.start()
    eventually(lambda: program.status is not None)
    program.end()

    assert lines == ["here", "here"]
