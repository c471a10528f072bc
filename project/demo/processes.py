"""The demo's processes: started all at once, watched, started again when they die, and ended to the last child."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from project.demo import process_tree
from project.demo.errors import ProcessFailedError
from project.demo.interruption import Interruption
from project.demo.preconditions import HOST, note_processes

_TAIL_LINES = 15
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_FAMILY_SECONDS = 1.0
# A process that dies so often in so short a time will not get better by being started once more.
_MOST_RESTARTS, _RESTARTS_WITHIN_SECONDS = 5, 60.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run."""

    name: str
    command: Sequence[str]
    is_ready: "Callable[[Process], bool]"


def web(port: int) -> Program:
    """Return the web server, on localhost alone; ready when it answers."""
    return Program(
        name="web",
        command=[
            *(sys.executable, "-m", "gunicorn", "project.wsgi", f"--bind={HOST}:{port}"),
            *("--threads=8", "--graceful-timeout=3", "--no-control-socket", "--access-logfile=-"),
        ],
        is_ready=lambda process: _answers(f"http://{HOST}:{port}/healthz"),
    )


def worker(context: str) -> Program:
    """Return the Celery worker of one context, by the command of the README; ready when it and its relay say so."""
    # The same as `celery -A project worker …`, which would have to be on the PATH.
    celery = (sys.executable, "-m", "celery", "-A", "project")
    signs = (re.compile(rf"\b{context}@\S+ ready\."), re.compile(rf"\brelay {context}: leads\b"))
    return Program(
        name=context,
        command=[*celery, "worker", "-Q", context, "-n", f"{context}@%h"],
        is_ready=lambda process: all(sign.search(process.said()) for sign in signs),
    )


@dataclass(kw_only=True)
class Process:
    """One running program, with all that descends from it."""

    program: Program
    log: Path
    environment: dict[str, str]
    lock: IO[str]
    ready: bool = False
    family: set[int] = field(default_factory=set)
    restarts: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _said_from: int = 0

    @property
    def started(self) -> bool:
        """Whether it was started at all."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its id, which is that of its process group too."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, folder: Path) -> None:
        """Start it in a session of its own, so that Ctrl-C in the terminal reaches the demo alone."""
        self.ready, self.family = False, set()
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(self.program.command)}\n".encode())
            self._said_from = log.tell()
            self._process = subprocess.Popen(  # noqa: S603  (own command)
                self.program.command,
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[self.lock.fileno()],  # as long as it lives, the folder's state is taken
            )

    def ended(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def said(self) -> str:
        """Return what it has written to its log since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._said_from)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    def look_at_family(self) -> None:
        """Note who descends from it: once it is dead, nobody can tell."""
        if self.started and self.ended() is None:
            self.family = process_tree.descendants(self.pid)

    def ask_to_end(self) -> None:
        """Ask it, and it alone: it knows how to end its children."""
        if self.started and self.ended() is None:
            self.look_at_family()
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with all that descends from it. Nothing is lost: what was not handled is redelivered."""
        assert self._process is not None
        self.look_at_family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for pid in self.family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


class Processes:
    """All of them."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        logs: Path,
        environment: dict[str, str],
        lock: IO[str],
        interruption: Interruption,
        tell: Callable[[str], None],
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = lock
        self._interruption = interruption
        self._tell = tell
        self._looked_at = 0.0
        self._all = [
            Process(program=program, log=logs / f"{program.name}.log", environment=environment, lock=lock)
            for program in programs
        ]

    @property
    def ready(self) -> list[str]:
        """Names of those that are ready."""
        return [process.program.name for process in self._all if process.ready]

    def start(self) -> None:
        """Start all at once."""
        for process in self._all:
            process.log.write_bytes(b"")
            process.start(folder=self._folder)
        self._note_ids()

    def wait_until_ready(self, *, seconds: float) -> None:
        """Wait until all are ready.

        Raises:
            ProcessFailedError: one ended by itself, or is not ready in time; the message shows the end of its log.
            StoppedError: the demo is asked to end.
        """
        deadline = time.monotonic() + seconds
        while waiting := [process for process in self._all if not process.ready]:
            self.watch()
            for process in waiting:
                if time.monotonic() > deadline:
                    raise _failed(process, f"is not ready after {seconds:.0f} s")
            self._interruption.pause(_LOOK_SECONDS)

    def watch(self) -> None:
        """Look at each one; start the dead again, and tell so.

        Raises:
            ProcessFailedError: one does not even start, or dies again and again.
        """
        if time.monotonic() > self._looked_at + _FAMILY_SECONDS:
            self._looked_at = time.monotonic()
            for process in self._all:
                process.look_at_family()
        for process in self._all:
            status = process.ended()
            if status is not None:
                self._start_again(process, status)
            elif not process.ready:
                process.ready = process.program.is_ready(process)

    def stop(self) -> None:
        """End all of them: ask, wait for a while (a second Ctrl-C ends the patience), then kill what is left."""
        signals = self._interruption.count
        deadline = time.monotonic() + _STOP_SECONDS
        started = [process for process in self._all if process.started]
        for process in started:
            process.ask_to_end()
        while any(process.ended() is None for process in started):
            if time.monotonic() > deadline or self._interruption.count > max(signals, 1):
                break
            time.sleep(_LOOK_SECONDS)
        for process in started:
            process.kill()

    def _start_again(self, process: Process, status: int) -> None:
        process.kill()
        name, now = process.program.name, time.monotonic()
        if status > 0 and not process.ready:
            raise _failed(process, f"ended with status {status} before it was ready")
        process.restarts = [at for at in process.restarts if now - at < _RESTARTS_WITHIN_SECONDS] + [now]
        if len(process.restarts) > _MOST_RESTARTS:
            raise _failed(process, f"ended {len(process.restarts)} times within a minute")
        dead = process.pid
        process.start(folder=self._folder)
        self._note_ids()
        self._tell(f"{name} (process {dead}) {_how(status)}; it is started again as process {process.pid}.")

    def _note_ids(self) -> None:
        note_processes(
            self._lock, {"demo": os.getpid(), **{process.program.name: process.pid for process in self._all}}
        )


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _failed(process: Process, what: str) -> ProcessFailedError:
    return ProcessFailedError(
        f"{process.program.name} {what}. Its log is {process.log} and ends with:\n\n{process.tail()}"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  (own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
