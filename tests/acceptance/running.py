"""Runs ``manage.py demo`` as its user does, reads what it prints, and finds every process that it started."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from project.processes import watchdog
from project.processes.process import Process, free_ports
from project.processes.waiting import Found, eventually

PROJECT = Path(__file__).resolve().parents[2]

__all__ = ["PROJECT", "Demo", "demo_environment", "free_port", "processes_of", "wait_until"]


class Demo(Process):
    """One run of the demo, with its state in a folder of its own. Leaving the block ends it, if need be by force."""

    def __init__(self, folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._environment = demo_environment(folder, environment)
        if "--port" not in options:
            options = (*options, "--port", str(self.port))
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            *(sys.executable, "manage.py", "demo", *options),
            environment=self._environment,
            log=folder / "terminal.log",
            cwd=PROJECT,
        )

    def __exit__(self, *raised: object) -> None:
        self.end(seconds=20)
        for pid in processes_of(self.folder):
            os.kill(pid, signal.SIGKILL)
        if raised[1] is not None:
            print(self.output)  # noqa: T201  (pytest shows it with the failure)

    @property
    def url(self) -> str:
        """Address of the shop."""
        return f"http://localhost:{self.port}"

    def wait_for(self, pattern: str, *, seconds: float = 60) -> re.Match[str]:
        """Wait until it has printed what ``pattern`` describes."""
        found = self.until(
            lambda said: re.search(pattern, said), what=f"it printed {pattern!r}", timeout=seconds
        )
        assert found
        return found

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.send(signal.SIGINT)

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


def wait_until(what: str, look: Callable[[], Found], *, seconds: float) -> Found:
    """Return what ``look`` returns as soon as that is true."""
    return eventually(look, what=what, timeout=seconds, every=0.1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    return free_ports(1)[0]


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
    return watchdog.marked(str(folder), variable="VAR_DIR")
