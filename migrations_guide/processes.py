"""Runs what a Procfile says, each process in a group of its own, and ends all of it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS, STOP_SECONDS = 60.0, 15.0
_LOOK_SECONDS = 0.1
_TAIL_LINES = 20
_READY = re.compile(r"\bready\.$", re.MULTILINE)
"""What Celery's workers say."""
_MANAGE = """
import shlex, sys
import manage
for command in sys.argv[1:]:
    sys.argv = ["manage.py", *shlex.split(command)]
    manage.main()
"""
"""Django starts once for several commands: that is most of the time they take."""


class ProcessError(Exception):
    """A process did not start, or ended by itself."""


@dataclass(kw_only=True)
class Process:
    """One line of a Procfile."""

    name: str
    command: str
    log: Path
    port: int | None
    started: subprocess.Popen[bytes]

    @property
    def site(self) -> str:
        """Where it is served, if it is a web server."""
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        """Tell whether a web server answers, or a worker says that it is ready.

        Raises:
            ProcessError: it has ended.
        """
        if (status := self.started.poll()) is not None:
            raise ProcessError(f"{self.name} ended by itself (status {status}):\n{self.tail()}")
        if self.port is None:
            return bool(_READY.search(self.log.read_text(errors="replace")))
        try:
            with urllib.request.urlopen(f"{self.site}/healthz", timeout=5):  # noqa: S310  (http, as made above)
                return True
        except OSError:  # of which an answer that is an error is one too
            return False

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def kill(self) -> None:
        """Kill it, with all that is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.started.pid, signal.SIGKILL)
        self.started.wait()


class Processes:
    """All processes of a Procfile, from the start of the block to its end."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str]) -> None:
        """Name them; nothing runs yet.

        Args:
            folder: The working copy.
            environment: What they run with; ``PORT`` is added for those whose line has ``$PORT``.
        """
        self._folder = folder
        self._environment = dict(environment)
        self.all: list[Process] = []

    def __enter__(self) -> Self:
        """Start them, and wait until they are ready.

        Raises:
            ProcessError: one of them is not, in time.
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
        for process in self.all:
            process.is_ready()

    def start(self, *, web: bool | None = None) -> None:
        """Start them, and wait until they are ready.

        Args:
            web: Whether those that serve pages are meant, or the others; all, if nothing is said.

        Raises:
            ProcessError: one of them is not, in time.
        """
        for line in (self._folder / "Procfile").read_text().splitlines():
            name, separator, command = line.partition(":")
            if separator and not line.startswith("#") and web in {None, "$PORT" in command}:
                self.all.append(self._start(name, command.strip()))
        self._wait_until_ready()

    def restart(self, names: Collection[str], *, environment: Mapping[str, str]) -> None:
        """End some of them, and start them anew with another environment.

        Raises:
            ProcessError: one of them is not ready, in time.
        """
        ended = [process for process in self.all if process.name in names]
        _end(ended)
        self._environment = dict(environment)
        self.all = [process for process in self.all if process.name not in names]
        self.all += [self._start(process.name, process.command) for process in ended]
        self._wait_until_ready()

    def end(self) -> None:
        """End all of them."""
        _end(self.all)

    def _start(self, name: str, command: str) -> Process:
        port = _free_port() if "$PORT" in command else None
        log = self._folder / "var" / "log" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            started = subprocess.Popen(
                # `env` takes the variables that may stand before a command; `exec` leaves no shell in between.
                ["/bin/sh", "-c", f"exec env {command}"],
                cwd=self._folder,
                env=self._environment | ({"PORT": str(port)} if port else {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Process(name=name, command=command, log=log, port=port, started=started)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        for process in self.all:
            while not process.is_ready():
                if time.monotonic() > deadline:
                    raise ProcessError(
                        f"{process.name} is not ready after {START_SECONDS:.0f} s:\n{process.tail()}"
                    )
                time.sleep(_LOOK_SECONDS)


def _end(processes: Sequence[Process]) -> None:
    """End processes. Only the first of a group is asked: it knows how to end its children."""
    deadline = time.monotonic() + STOP_SECONDS
    try:
        for process in processes:
            if process.started.poll() is None:
                process.started.send_signal(signal.SIGTERM)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.started.wait(max(deadline - time.monotonic(), 0))
    finally:  # at once, if Ctrl-C is pressed once more
        for process in processes:
            process.kill()


def manage(folder: Path, *commands: str, environment: Mapping[str, str]) -> str:
    """Run commands of ``manage.py`` in a working copy, all in one process, and return what they print.

    Raises:
        ProcessError: one failed.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _MANAGE, *commands],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ProcessError(
            f"manage.py {', '.join(commands)} failed (status {ended.returncode}):\n{ended.stdout}"
        )
    return ended.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
