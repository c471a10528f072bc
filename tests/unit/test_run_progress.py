"""The tests' own progress: what is left is told from what was done, and the longest files come first."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import progress
from tests.architecture.files import ROOT
from tests.progress import Expectation, Progress


def test_time_left_follows_from_the_pace_of_what_was_done() -> None:
    run = Progress({"a.py::long": 60.0, "a.py::short": 20.0, "b.py::one": 120.0}, now=1000.0)

    run.done("a.py::long")
    run.done("a.py::short")

    assert run.told(now=1040.0) == "40% done, about 1 min 0 s left"


def test_nothing_is_told_before_the_first_test_is_done() -> None:
    assert Progress({"a.py::one": 1.0}, now=0.0).told(now=10.0) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "5 s"), (42, "40 s"), (128, "2 min 10 s"), (599, "10 min 0 s"), (4000, "67 min")],
)
def test_estimate_is_told_no_more_exactly_than_it_is(seconds: float, words: str) -> None:
    assert progress.in_words(seconds) == words


def test_last_run_says_how_long_a_test_takes_else_its_file_does() -> None:
    expected = Expectation({"a.py::known": 7.0}, {"a.py": 2.0, "a.py::long": 60.0})

    assert expected.seconds("a.py::known") == 7.0
    assert expected.seconds("a.py::new") == 2.0
    assert expected.seconds("a.py::long") == 60.0
    assert expected.seconds("new.py::new") == progress.UNKNOWN


def test_files_that_take_longest_come_first_and_keep_their_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "FILE", tmp_path / "seconds.json")
    progress.FILE.write_text('{"short.py": 1, "long.py": 3}')
    tests = ["short.py::b", "short.py::a", "long.py::d", "long.py::c"]
    items: list[Any] = [SimpleNamespace(nodeid=test, path=Path(test.partition("::")[0])) for test in tests]

    progress.longest_first(items)

    assert [item.nodeid for item in items] == ["long.py::d", "long.py::c", "short.py::b", "short.py::a"]


def test_seconds_are_known_of_each_long_test_and_of_the_others_on_average() -> None:
    took = {"a.py::one": 1.0, "a.py::two[x]": 2.0, "a.py::long": 60.0, "b.py::one": 0.5}

    assert progress.known(took) == {"a.py": 1.5, "a.py::long": 60.0, "b.py": 0.5}


def test_run_tells_its_progress_between_the_dots(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "conftest.py").write_text(
        "from tests import progress\n"
        "progress._EVERY = 0\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(progress.Plugin(config))\n"
    )
    (tmp_path / "test_two.py").write_text("def test_one(): pass\ndef test_two(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--rootdir",
        str(tmp_path),
        "-o",
        "console_output_style=classic",
        str(tmp_path),
    ]

    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert re.search(r"^\S*test_two\.py \.  50% done, about \d+ s left$", said, re.MULTILINE), said
    assert "2 passed" in said
