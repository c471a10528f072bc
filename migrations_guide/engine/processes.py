"""Runs the processes that a Procfile lists, and commands of ``manage.py``."""

import sys
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from project.processes import process
from project.processes.process import ProcessError, end, free_ports

START_SECONDS = 60.0
_MANAGE = """
import shlex, sys
import manage
for command in sys.argv[1:]:
    sys.argv = ["manage.py", *shlex.split(command)]
    manage.main()
"""
"""Django starts once for several commands: that is most of the time they take."""


class Process(process.Process):
    """One line of a Procfile."""

    def __init__(self, name: str, command: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.command = command
        self.port = free_ports(1)[0] if "$PORT" in command else None
        super().__init__(
            # `env` takes the variables that may stand before a command; `exec` leaves no shell in between.
            *("/bin/sh", "-c", f"exec env {command}"),
            environment={**environment, **({"PORT": str(self.port)} if self.port else {})},
            log=_log(folder, name),
            cwd=folder,
        )

    @property
    def site(self) -> str:
        """Where it is served, if it is a web server."""
        return f"http://127.0.0.1:{self.port}"

    def wait_until_ready(self) -> None:
        """Wait until a web server answers, or a worker says that it is ready.

        Raises:
            ProcessError: it ended, or made no progress.
        """
        self.until(
            lambda said: self._answers() if self.port else "ready.\n" in said,
            what="it was ready",
            timeout=START_SECONDS,
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.site}/admin/login/", timeout=5):  # noqa: S310  (http, as made above)
                return True
        except OSError:  # an answer that is an error is one too
            return False


class Processes:
    """All processes of a Procfile, from the start of the block to its end."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str]) -> None:
        """Name them; nothing runs yet.

        Args:
            folder: The working copy.
            environment: What they run with; ``PORT`` is added for those whose line has ``$PORT``.
        """
        self._folder = folder
        self._environment = environment
        self.all: list[Process] = []

    def __enter__(self) -> Self:
        """Start them, and wait until they are ready.

        Raises:
            ProcessError: one of them is not.
        """
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    def site(self, name: str) -> str:
        """Return the address of a web server."""
        return next(process.site for process in self.all if process.name == name)

    def watch(self) -> None:
        """Look whether all still run.

        Raises:
            ProcessError: one has ended by itself.
        """
        for each in self.all:
            if each.status is not None:
                raise ProcessError(f"{each.name} ended by itself (status {each.status}):\n{each.tail}")

    def start(self, *, web: bool | None = None) -> None:
        """Start them, and wait until they are ready.

        Args:
            web: Whether those that serve pages are meant, or the others; all, if nothing is said.

        Raises:
            ProcessError: one of them is not.
        """
        for line in (self._folder / "Procfile").read_text().splitlines():
            name, separator, command = line.partition(":")
            if separator and not line.startswith("#") and web in {None, "$PORT" in command}:
                self._start(name, command.strip())
        self._wait_until_ready()

    def restart(self, names: Collection[str], *, environment: Mapping[str, str]) -> None:
        """End some of them, and start them anew with another environment.

        Raises:
            ProcessError: one of them is not ready.
        """
        ended = [each for each in self.all if each.name in names]
        end(ended)
        self._environment = environment
        self.all = [each for each in self.all if each.name not in names]
        for each in ended:
            self._start(each.name, each.command)
        self._wait_until_ready()

    def end(self) -> None:
        """End all of them."""
        end(self.all, family_seconds=0)

    def _start(self, name: str, command: str) -> None:
        self.all.append(Process(name, command, folder=self._folder, environment=self._environment))

    def _wait_until_ready(self) -> None:
        for each in self.all:
            each.wait_until_ready()


def manage(folder: Path, *commands: str, environment: Mapping[str, str]) -> str:
    """Run commands of ``manage.py`` in a working copy, all in one process, and return what they print.

    Raises:
        ProcessError: one failed.
    """
    return process.run(
        *(sys.executable, "-c", _MANAGE, *commands),
        environment=environment,
        log=_log(folder, "manage"),
        cwd=folder,
    )


def _log(folder: Path, name: str) -> Path:
    log = folder / "var" / "log" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log
