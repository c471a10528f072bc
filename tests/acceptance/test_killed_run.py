"""A run that is killed leaves nothing behind: no process in whatever session, no folder, no database."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from project.processes import tree
from project.processes.waiting import eventually
from tests import servers
from tests.acceptance.running import PROJECT, Demo, processes_of

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

NODE = """
from project.processes.node import Node
folder = Path(sys.argv[1])
folder.mkdir()
node = Node(folder)
node.start()
"""
DETACHED = """
from project.processes.process import Process
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
leaves = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True)"
log = Path(sys.argv[1])
Process(sys.executable, "-c", leaves, environment=os.environ, log=log, cwd=Path.cwd()).wait()
if os.fork() == 0:
    time.sleep(600)  # it holds whatever the run has open
"""
DATABASE = """
from project.processes import servers
database = servers.database(*sys.argv[1:])
database.__enter__()
"""


def started(program: str, *arguments: str, folder: Path) -> "subprocess.Popen[str]":
    """Start a run; return it once it has started what its program says. It goes on until it is ended."""
    run = subprocess.Popen(
        [sys.executable, "-c", f"import os, sys, time\nfrom pathlib import Path\n{program}\nprint('started', flush=True)\nsys.stdin.read()", *arguments],
        cwd=PROJECT,
        env={**os.environ, "VAR_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert run.stdout
    assert run.stdout.readline() == "started\n"
    return run


def test_node_of_a_killed_run_is_gone_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    with started(NODE, str(folder), folder=tmp_path) as run:
        commands = {tree.command(pid) for pid in processes_of(tmp_path)}
        assert any("beam.smp" in command for command in commands)
        assert any("epmd" in command for command in commands), "Erlang's server of names"

        run.kill()

        eventually(lambda: not processes_of(tmp_path), timeout=20, what="the node gone")
        assert not folder.exists()


def test_what_a_killed_run_left_in_other_sessions_is_gone(tmp_path: Path) -> None:
    with started(DETACHED, str(tmp_path / "log"), folder=tmp_path) as run:
        fork = tree.children(run.pid)
        assert len(processes_of(tmp_path)) == 4, (
            "the run, its fork, its watchdog, and what a process has left"
        )

        run.kill()

        eventually(lambda: processes_of(tmp_path) <= set(fork), timeout=20, what="all gone but the fork")
        for pid in processes_of(tmp_path):
            os.kill(pid, signal.SIGKILL)


def test_run_that_ends_ends_what_it_has_forgotten_and_keeps_its_folders(tmp_path: Path) -> None:
    keeps = "from project.processes import watchdog\nwatchdog.remove(log.parent)"
    program = DETACHED.partition("if os.fork")[0] + keeps
    with started(program, str(tmp_path / "log"), folder=tmp_path) as run:
        assert len(processes_of(tmp_path)) == 3

        run.communicate("")

        assert run.returncode == 0
        assert processes_of(tmp_path) == set()
        assert (tmp_path / "log").exists()


@pytest.mark.postgres
def test_database_of_a_killed_run_is_dropped(tmp_path: Path) -> None:
    name = f"{servers.RUN}_killed"
    with (
        psycopg.connect(servers.postgres_url(), autocommit=True) as connection,
        started(DATABASE, servers.postgres_url(), name, folder=tmp_path) as run,
    ):
        question = "SELECT count(*) FROM pg_database WHERE datname = %s"
        assert connection.execute(question, [name]).fetchone() == (1,)

        run.kill()

        eventually(lambda: connection.execute(question, [name]).fetchone() == (0,), timeout=20)


def test_killed_demo_leaves_no_process_and_frees_its_folder(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        demo.wait_for("All are ready")
        assert len(processes_of(tmp_path)) > 10

        os.killpg(demo.pid, signal.SIGKILL)

        eventually(lambda: not processes_of(tmp_path), timeout=20, what="every process gone")
    with Demo(tmp_path, "--exit") as again:
        again.wait_for("All are ready")
