"""The tutorial, followed word by word: each file is written, each command is run, in the order of the page."""

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.integration.support.processes import Process
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

BLOCKS = re.findall(
    r"```(python|ini|sh)\n(.*?)```", (ROOT / "docs/tutorial/index.md").read_text(), flags=re.DOTALL
)
SKIPPED = (
    "python -m venv",  # this run's own is used, in which
    "python -m pip",  # the kit is installed already
    "python manage.py createsuperuser",  # asks for a password
    "python manage.py runserver",  # shows what the tests of the admin show
)
BIN = Path(sys.executable).parent


class Reader:
    """Follows the page in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""
        self._environment = {
            name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ
        }
        self._environment["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        self.workers: list[Process] = []

    def write(self, block: str) -> None:
        """Write the file that the first line names, or add to it."""
        heading, _, text = block.partition("\n")
        name, _, where = heading.removeprefix("# ").partition(", ")
        assert where in {"", "at the end"}, heading
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a" if where else "w") as file:
            file.write(text)

    def run(self, line: str) -> None:
        """Run a command to its end; a worker runs until the next one is to start."""
        if line.startswith("celery "):
            self._start_worker(line)
        elif not line.startswith(SKIPPED):
            ended = subprocess.run(
                shlex.split(line),
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ended.returncode == 0, f"{line}:\n{ended.stdout}{ended.stderr}"
            self.said = ended.stdout

    def letters(self) -> list[str]:
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM letters_letter ORDER BY id")]

    def _start_worker(self, line: str) -> None:
        for worker in self.workers:
            if worker.status is None:
                worker.send(signal.SIGINT)  # Ctrl-C
                worker.wait()
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(
            Process(*shlex.split(line), environment=self._environment, log=log, cwd=self.folder)
        )
        self.workers[-1].says(" ready.")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    for name in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)  # a worker inherits this run's environment
    followed = Reader(tmp_path)
    yield followed
    for worker in followed.workers:
        worker.end()


def test_tutorial_leads_to_a_flow_that_fails_and_is_replayed(reader: Reader) -> None:
    for language, block in BLOCKS:
        if language != "sh":
            reader.write(block)
            continue
        for line in block.splitlines():
            reader.run(line)
            if "pytest" in line and not line.startswith(SKIPPED):
                assert "2 passed" in reader.said
            elif "name='Ada'" in line:
                reader.workers[0].says(" by members.mark_welcomed")
                assert reader.letters() == ["Welcome, Ada!"]
            elif "name='grace'" in line:
                reader.workers[0].says("parked members.member_joined.v1")
            elif "manage.py parked" in line:
                assert "'grace' is no name to write on an envelope." in reader.said
            elif "manage.py replay" in line:
                assert reader.said.startswith("1 messages are due now")

    eventually(lambda: reader.letters() == ["Welcome, Ada!", "Welcome, Grace!"])
    reader.workers[1].says(" by members.mark_welcomed")
