"""A run that was killed leaves nothing behind: the next one removes its database, its virtual host and its folder."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import leftovers, servers
from tests.integration.support.processes import ROOT

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.slow]

RUN = """
import sys
import psycopg
from tests import servers
psycopg.connect(servers.postgres_url(), autocommit=True).execute(f"CREATE DATABASE {servers.RUN}_demo")
servers.rabbitmq().make_vhost()
print(servers.RUN, servers.SCRATCH, flush=True)
sys.stdin.read()
"""


def what_is_left(run: str) -> list[str]:
    """Return what there is on the servers that bears the name of a run."""
    with psycopg.connect(servers.postgres_url()) as server:
        databases = [name for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()]
    return [name for name in [*databases, *servers.rabbitmq().names("vhosts")] if name.startswith(run)]


def test_leftovers_of_a_killed_run_are_removed_and_those_of_a_living_one_stay() -> None:
    command = [sys.executable, "-c", RUN]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run, folder = process.stdout.readline().split()
        made = [f"{run}_demo", f"{run}_0"]
        assert run not in leftovers.remove()
        assert what_is_left(run) == made
        assert Path(folder).exists()

        process.kill()

    assert run in leftovers.remove()
    assert what_is_left(run) == []
    assert not Path(folder).exists()
