"""Runs ``manage.py demo`` as its user does, reads what it prints, and finds every process that it started."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

PROJECT = Path(__file__).resolve().parents[2]

Value = TypeVar("Value")


def wait_until(what: str, look: Callable[[], Value | None], *, seconds: float) -> Value:
    """Return what ``look`` returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.05)
    return value


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Demo:
    """One run of the demo, with its state in a folder of its own. Leaving the block ends it, if need be by force."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._environment = demo_environment(folder, environment)
        self._command = [sys.executable, "manage.py", "demo", *options]
        if "--port" not in options:
            self._command += ["--port", str(self.port)]
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=PROJECT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid in processes_of(self.folder):
            os.kill(pid, signal.SIGKILL)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        if error is not None:
            print(self.output)  # noqa: T201  (pytest shows it with the failure)

    @property
    def url(self) -> str:
        """Address of the shop."""
        return f"http://localhost:{self.port}"

    @property
    def output(self) -> str:
        """What it has printed so far, errors too."""
        return "".join(self._lines)

    def wait_for(self, pattern: str, *, seconds: float = 60) -> re.Match[str]:
        """Wait until it has printed what ``pattern`` describes."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output)
            if found is None and not self._reader.is_alive():
                raise AssertionError(f"the demo ended without printing {pattern!r}:\n{self.output}")
            return found

        return wait_until(f"the demo prints {pattern!r}", look, seconds=seconds)

    def wait(self, *, seconds: float = 100) -> int:
        """Wait until it has ended; return its exit code."""
        code = self._process.wait(seconds)
        self._reader.join()
        return code

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def pid_of(self, name: str) -> int:
        """Return the id of one of its processes, from its lock file."""
        noted = dict(line.split() for line in (self.folder / "demo.lock").read_text().splitlines())
        return int(noted[name])

    def ask(self, question: str) -> str:
        """Return what a line of Python prints when it runs in the demo's environment."""
        command = [sys.executable, "-c", f"import django; django.setup(); {question}"]
        answer = subprocess.run(
            command,
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)


def demo_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of ``make demo``, with the state of the embedded default in ``folder``."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "BROKER_URL", "SECRET_KEY"}
    }
    return {
        **environment,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DEBUG": "1",
        "VAR_DIR": str(folder),
        **(more or {}),
    }


def processes_of(folder: Path) -> set[int]:
    """Return the ids of all processes that were started with this folder for their state (Linux only)."""
    mark = f"VAR_DIR={folder}".encode()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.add(int(process.name))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return found
