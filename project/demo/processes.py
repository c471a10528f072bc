"""The demo's processes: started all at once, watched, started again when they die, and ended to the last child."""

import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from project.demo.errors import ProcessFailedError
from project.demo.interruption import Interruption
from project.demo.preconditions import HOST, note_processes
from project.processes.process import Process, end
from project.processes.waiting import Patience

_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.1
# A process that dies so often in so short a time will not get better by being started once more.
_MOST_RESTARTS, _RESTARTS_WITHIN_SECONDS = 5, 60.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command to run."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[Process], bool]


def web(port: int) -> Program:
    """Return the web server, on localhost alone; ready when it answers."""
    return Program(
        name="web",
        command=[
            *(sys.executable, "-m", "gunicorn", "project.wsgi", f"--bind={HOST}:{port}"),
            *("--threads=8", "--graceful-timeout=3", "--no-control-socket", "--access-logfile=-"),
        ],
        is_ready=lambda process: _answers(f"http://{HOST}:{port}/ready"),
    )


def worker(context: str) -> Program:
    """Return the Celery worker of one context, by the command of the README; ready when it and its relay say so."""
    # The same as `celery -A project worker …`, which would have to be on the PATH.
    celery = (sys.executable, "-m", "celery", "-A", "project")
    signs = (re.compile(rf"\b{context}@\S+ ready\."), re.compile(rf"\brelay {context}: leads\b"))
    return Program(
        name=context,
        command=[*celery, "worker", "-Q", context, "-n", f"{context}@%h"],
        is_ready=lambda process: all(sign.search(process.output) for sign in signs),
    )


@dataclass(kw_only=True)
class _Running:
    """A program, and the process that runs it at present."""

    program: Program
    process: Process
    ready: bool = False
    restarts: list[float] = field(default_factory=list)


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
        self._programs = programs
        self._folder = folder
        self._logs = logs
        self._environment = environment
        self._lock = lock
        self._interruption = interruption
        self._tell = tell
        self._all: list[_Running] = []

    def start(self) -> None:
        """Start all at once."""
        for program in self._programs:
            self._log(program).write_bytes(b"")
            self._all.append(_Running(program=program, process=self._start(program)))
        self._note_ids()

    def wait_until_ready(self, *, seconds: float) -> None:
        """Wait until all are ready.

        Raises:
            ProcessFailedError: one ended by itself, or made no progress for so long; the message shows the end of its log.
            StoppedError: the demo is asked to end.
        """
        patience = Patience(seconds)
        while waiting := [running for running in self._all if not running.ready]:
            self.watch()
            if patience.is_over(str([len(running.process.output) for running in self._all])):
                raise _failed(waiting[0], f"is not ready, and nothing happened for {seconds:.0f} s")
            self._interruption.pause(_LOOK_SECONDS)

    def watch(self) -> None:
        """Look at each one; start the dead again, and tell so.

        Raises:
            ProcessFailedError: one does not even start, or dies again and again.
        """
        for running in self._all:
            status = running.process.status
            if status is not None:
                self._start_again(running, status)
            elif not running.ready:
                running.ready = running.program.is_ready(running.process)

    def stop(self) -> None:
        """End all of them: ask, wait for a while (a second Ctrl-C ends the patience), then kill what is left."""
        enough = max(self._interruption.count, 1)
        end(
            [running.process for running in self._all],
            seconds=_STOP_SECONDS,
            family_seconds=0,  # nothing is lost: what was not handled is redelivered
            hurry=lambda: self._interruption.count > enough,
        )

    def _start(self, program: Program) -> Process:
        log = self._log(program)
        with log.open("a") as file:
            file.write(f"$ {' '.join(program.command)}\n")
        return Process(
            *program.command,
            environment=self._environment,
            log=log,
            cwd=self._folder,
            pass_fds=[self._lock.fileno()],  # as long as it lives, the folder's state is taken
        )

    def _log(self, program: Program) -> Path:
        return self._logs / f"{program.name}.log"

    def _start_again(self, running: _Running, status: int) -> None:
        dead, now = running.process, time.monotonic()
        dead.end(family_seconds=0)
        if status > 0 and not running.ready:
            raise _failed(running, f"ended with status {status} before it was ready")
        running.restarts = [at for at in running.restarts if now - at < _RESTARTS_WITHIN_SECONDS] + [now]
        if len(running.restarts) > _MOST_RESTARTS:
            raise _failed(running, f"ended {len(running.restarts)} times within a minute")
        running.process, running.ready = self._start(running.program), False
        self._note_ids()
        again = f"it is started again as process {running.process.pid}"
        self._tell(f"{dead.name} (process {dead.pid}) {_how(status)}; {again}.")

    def _note_ids(self) -> None:
        pids = {running.program.name: running.process.pid for running in self._all}
        note_processes(self._lock, {"demo": os.getpid(), **pids})


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def _failed(running: _Running, what: str) -> ProcessFailedError:
    process = running.process
    return ProcessFailedError(
        f"{process.name} {what}. Its log is {process.log} and ends with:\n\n{process.tail}"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  (own address)
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
