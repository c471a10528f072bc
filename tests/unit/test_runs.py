"""Names of test runs: they tell the runs that have died from those that live, and from those of other machines."""

import os
import subprocess
import sys

import pytest

from tests import runs, servers


def test_living_run_is_not_dead_nor_is_what_it_made() -> None:
    assert runs.name_of(os.getpid()) == servers.RUN
    assert runs.dead(servers.RUN) is None
    assert runs.dead(f"{servers.RUN}_demo") is None


def test_run_whose_process_has_ended_is_dead_and_so_is_what_it_made() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        run = runs.name_of(process.pid)
        assert run is not None
        assert runs.dead(run) is None

        process.kill()

    assert runs.dead(run) == run
    assert runs.dead(f"{run}_split_7") == run


def test_process_that_bears_the_id_of_a_dead_run_is_not_taken_for_it() -> None:
    earlier = servers.RUN[:-6] + "000000"

    assert runs.dead(earlier) == earlier


@pytest.mark.parametrize(
    "name", ["test", "postgres", f"{runs.PREFIX}_000000_1_000000", f"{runs.PREFIX}_4711_abcdef"]
)
def test_what_another_machine_or_nobody_made_is_left_alone(name: str) -> None:
    assert runs.dead(name) is None
