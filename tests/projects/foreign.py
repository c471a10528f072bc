"""A project that never saw the kit, and takes it in: its own copy, commands and workers."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from project.processes import process
from project.processes.process import Process

FOLDER = Path(__file__).parent
MORE = ".more"
"""Ending of a file whose text is added to the project's own."""


class ForeignProject:
    """A copy of the project's folder ``before``, whose commands run as its people type them."""

    def __init__(
        self, name: str, folder: Path, programs: Path, *, source: str, variables: Mapping[str, str]
    ) -> None:
        self._original, self.folder, self._programs = FOLDER / name, folder, programs
        self._count = 0
        self._workers: list[Process] = []
        self._environment = {
            **{each: os.environ[each] for each in ("HOME", "LANG", "TMPDIR") if each in os.environ},
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / source),
            **variables,
        }
        shutil.copytree(self._original / "before", folder)

    def add_to(self, file: str, text: str) -> None:
        """Add lines at the end of a file."""
        with (self.folder / file).open("a") as opened:
            opened.write(text)

    def take_events_in(self) -> None:
        """Put the files of the folder ``events`` over the project's."""
        shutil.copytree(self._original / "events", self.folder, dirs_exist_ok=True)
        for more in self.folder.rglob(f"*{MORE}"):
            self.add_to(str(more.relative_to(self.folder)).removesuffix(MORE), more.read_text())
            more.unlink()

    def run(self, *command: str, **variables: str) -> str:
        """Run a command in the project's environment to its end; return what it printed."""
        self._count += 1
        return process.run(
            *self._found(command),
            environment={**self._environment, **variables},
            log=self.folder / f"{self._count}.log",
            cwd=self.folder,
            timeout=120,
        )

    def customer(self, **variables: str) -> str:
        """Run what a customer does; return what it saw."""
        return self.run("python", str(self._original / "customer.py"), **variables)

    def worker(self, *arguments: str, name: str, **variables: str) -> Process:
        """Start ``celery … worker`` with one process, without waiting for it."""
        self._workers.append(
            Process(
                *self._found(("celery", *arguments)),
                *("-c", "1", "-l", "INFO", "-n", f"{name}@%h"),
                environment={**self._environment, **variables},
                log=self.folder / f"{name}.log",
                cwd=self.folder,
            )
        )
        return self._workers[-1]

    def end(self) -> None:
        """End its workers."""
        process.end(self._workers, seconds=5)

    def _found(self, command: tuple[str, ...]) -> list[str]:
        return [str(self._programs / command[0]), *command[1:]]
