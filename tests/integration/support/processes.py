"""Workers, relays and recorders as processes of their own, started by the commands that people type."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.integration.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = "tests.integration.settings"


class Process:
    """A command in a process group of its own; its output goes to a file."""

    def __init__(self, *command: str, environment: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def status(self) -> int | None:
        return self._popen.poll()

    def says(self, text: str, *, times: int = 1, timeout: float = 40) -> None:
        """Wait until the process has said ``text`` so many times."""
        eventually(
            lambda: self.output.count(text) >= times or self._ended_without(text),
            timeout=timeout,
            what=f"{text!r} in the output:\n{self.output[-3000:]}\n",
        )

    def _ended_without(self, text: str) -> bool:
        assert self.status is None or text in self.output, f"ended, {text!r} unsaid:\n{self.output[-5000:]}"
        return False

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, *, timeout: float = 30) -> int:
        """Return the exit status; fail, with the end of the output, if it does not end in time."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout} s:\n{self.output[-3000:]}") from None

    def stop(self, *, timeout: float = 30) -> int:
        """End it as a supervisor does (SIGTERM); return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait(timeout=timeout)

    def kill(self) -> None:
        """Kill -9 the process and all of its group at once: nobody says goodbye."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def end(self) -> None:
        """Leave nothing running, whatever the test did. A worker is killed: to stop takes Celery two seconds."""
        relays = relays_of(self.pid)
        if self.status is None and not relays:
            self.send(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(15)
        self.kill()
        for relay in relays:
            with contextlib.suppress(AssertionError):
                eventually(partial(_ended, relay), timeout=5)
            with contextlib.suppress(ProcessLookupError):
                os.kill(relay, signal.SIGKILL)


class Launcher:
    """Starts processes on one database and one broker, and ends them all."""

    def __init__(self, folder: Path, *, database: str, broker: str, **settings: Any) -> None:
        self.folder = folder
        self._started: list[Process] = []
        self._environment = {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "DATABASE_URL": database,
            "BROKER_URL": broker,
        }
        self._settings = settings

    def start(self, *command: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Process:
        """Start a command; ``settings`` replace or extend the Django settings of that process."""
        merged = {**self._settings, **settings}
        merged["MICROWORKFLOWS"] = {
            **self._settings.get("MICROWORKFLOWS", {}),
            **settings.get("MICROWORKFLOWS", {}),
        }
        process = Process(
            *command,
            environment={**self._environment, "PROBE_SETTINGS": json.dumps(merged), **(environment or {})},
            log=self.folder / f"{len(self._started)}.log",
        )
        self._started.append(process)
        return process

    def worker(
        self, queues: str = "probe", *options: str, name: str = "", wait: bool = True, **settings: Any
    ) -> Process:
        """Start ``celery -A project worker -Q …`` and wait until it is ready."""
        celery = str(Path(sys.executable).with_name("celery"))
        name = name or f"{queues.partition(',')[0]}{len(self._started)}"
        if not any(option.startswith(("-c", "--concurrency")) for option in options):
            options = ("-c", "1", *options)
        worker = self.start(
            *(celery, "-A", "project", "worker", "-Q", queues, "-n", f"{name}@%h", *options), **settings
        )
        if wait:
            worker.says(" ready.")
        return worker

    def relay(self, *contexts: str, wait: bool = True, **settings: Any) -> Process:
        """Start ``manage.py relay`` and wait until it leads."""
        relay = self.manage("relay", *(contexts or ("probe",)), **settings)
        if wait:
            relay.says(": leads")
        return relay

    def manage(self, *arguments: str, **settings: Any) -> Process:
        """Start a management command."""
        return self.start(sys.executable, "-m", "django", *arguments, **settings)

    def run(self, *arguments: str, **settings: Any) -> str:
        """Run a management command to its end; return what it wrote, the log on stderr included."""
        process = self.manage(*arguments, **settings)
        assert process.wait(timeout=60) == 0, process.output
        return process.output

    def stop(self) -> None:
        """Stop all that still runs, as a supervisor does."""
        running = [process for process in self._started if process.status is None]
        for process in running:
            process.send(signal.SIGTERM)
        for process in running:
            assert process.wait() == 0, process.output

    def end(self) -> None:
        """End all that still runs, at once."""
        for process in self._started:
            process.end()


def children(pid: int) -> list[int]:
    """Return the ids of the child processes, those included that ended and were not waited for (zombies)."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; what follows it is: state, parent, …
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
    return sorted(found)


def state(pid: int) -> str:
    """Return the letter that says what a process does (``Z``: zombie); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def exists(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return state(pid) not in {"", "Z", "X"}


def _ended(pid: int) -> bool:
    return not exists(pid)


def command(pid: int) -> str:
    """Return the command line of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def relays_of(pid: int) -> list[int]:
    """Return the ids of a worker's relay processes (there should be one)."""
    return [child for child in children(pid) if "django relay" in command(child)]


def pool_of(pid: int) -> list[int]:
    """Return the ids of a worker's pool processes."""
    return [child for child in children(pid) if exists(child) and child not in relays_of(pid)]


def pause(seconds: float) -> None:
    """Let time pass where the test is about time itself."""
    time.sleep(seconds)
