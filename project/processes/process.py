"""A command beside this process: in a session of its own, its output in a file, ended with all that it started."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from project.processes import tree, watchdog
from project.processes.waiting import Found, NotYetError, eventually

_TAIL_LINES = 20
_LOOK_SECONDS = 0.03
_numbers = itertools.count(1)


class ProcessError(AssertionError):
    """A process ended by itself, or did not do in time what it was waited for; the message shows the end of its output."""


class Process:
    """A running command. Ctrl-C in the terminal does not reach it; leaving a block ends it."""

    def __init__(
        self,
        *command: str,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            environment: All of it; nothing is added from this process's own but the mark of the run.
            log: The file that its output is added to. Its name, without the ending, is that of the process.
            cwd: The folder that it runs in.
            pass_fds: Files of this process that it keeps open.
        """
        self.log = log
        self._mark = f"{watchdog.mark()}.{next(_numbers)}"
        with log.open("ab") as output:
            self._said_from = output.tell()
            self._popen = subprocess.Popen(  # noqa: S603  (own command)
                command,
                cwd=cwd,
                env={"PYTHONUNBUFFERED": "1", **environment, watchdog.MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.log.stem

    @property
    def output(self) -> str:
        """What it has written so far, errors too."""
        with self.log.open("rb") as log:
            log.seek(self._said_from)
            return log.read().decode(errors="replace")

    @property
    def tail(self) -> str:
        """The last lines of that."""
        return "\n".join(self.output.splitlines()[-_TAIL_LINES:])

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def family(self) -> set[int]:
        """Ids of the living processes that it started, and they, and so on; and its own while it lives."""
        return watchdog.marked(self._mark)

    def cpu_seconds(self) -> float:
        """Return the processor time that its family has spent so far."""
        return tree.cpu_seconds(self.family)

    def resident_bytes(self) -> int:
        """Return the resident memory of its family."""
        return tree.resident_bytes(self.family)

    # Waiting

    def says(self, text: str, *, times: int = 1, timeout: float = 40) -> None:
        """Wait until it has said ``text`` so many times.

        Raises:
            ProcessError: it did not, or ended before.
        """
        self.until(lambda output: output.count(text) >= times, what=f"it said {text!r}", timeout=timeout)

    def until(self, look: Callable[[str], Found], *, what: str, timeout: float = 40) -> Found:
        """Return what ``look`` finds in its output as soon as that is true; while it writes, that is progress.

        Raises:
            ProcessError: it found nothing, and the process ended or made no progress for so many seconds.
        """

        def found() -> Found:
            status = self.status
            if not (found := look(self.output)) and status is not None:
                raise ProcessError(f"{self.name} ended with status {status} before {what}:\n{self.tail}")
            return found

        try:
            return eventually(found, timeout=timeout, progress=self._written)
        except NotYetError:
            raise ProcessError(
                f"{self.name}: {timeout:g} s passed without progress before {what}:\n{self.tail}"
            ) from None

    def wait(self, *, timeout: float = 30) -> int:
        """Wait until it has ended, and return its exit status.

        Raises:
            ProcessError: it still runs, and made no progress for so many seconds.
        """
        try:
            eventually(lambda: self.status is not None, timeout=timeout, progress=self._written)
        except NotYetError:
            raise ProcessError(
                f"{self.name} still runs after {timeout:g} s without progress:\n{self.tail}"
            ) from None
        return self._popen.wait()

    def _written(self) -> int:
        return self.log.stat().st_size

    # Ending

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self._popen.send_signal(number)

    def stop(self, *, timeout: float = 30) -> int:
        """End it as a supervisor does (SIGTERM); return its exit status."""
        self.send(signal.SIGTERM)
        return self.wait(timeout=timeout)

    def kill(self) -> None:
        """Kill -9 the process, if it still runs, and all of its group at once: nobody says goodbye."""
        if self.status is None:  # else its id may be another's by now
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def end(self, *, seconds: float = 15, family_seconds: float = 5) -> None:
        """End it and leave nothing of it, see :func:`end`."""
        end([self], seconds=seconds, family_seconds=family_seconds)

    def kill_family(self, *, after: float = 0) -> None:
        """Kill what it started and what it has outlived by so many seconds."""
        with contextlib.suppress(NotYetError):
            eventually(lambda: not self.family, timeout=after)
        watchdog.kill(self._mark)


def end(
    processes: Sequence[Process],
    *,
    seconds: float = 15,
    family_seconds: float = 5,
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """End processes and leave nothing of them.

    Args:
        processes: They are asked, and they alone: each knows how to end its children.
        seconds: After so many it is killed.
        family_seconds: What it has left behind then is killed after so many.
        hurry: Says that nobody waits any longer.
    """
    deadline = time.monotonic() + seconds
    try:
        for process in processes:
            if seconds and process.status is None:
                process.send(signal.SIGTERM)
        while any(process.status is None for process in processes):
            if time.monotonic() >= deadline or hurry():
                break
            time.sleep(_LOOK_SECONDS)
    finally:  # at once, if Ctrl-C is pressed once more
        for process in processes:
            process.kill()
        for process in processes:
            process.kill_family(after=0 if hurry() else family_seconds)


def run(*command: str, environment: Mapping[str, str], log: Path, cwd: Path, timeout: float = 600) -> str:
    """Run a command to its end, and return its output; see :class:`Process`.

    Raises:
        ProcessError: it ended with another status than 0, or made no progress for so many seconds.
    """
    with Process(*command, environment=environment, log=log, cwd=cwd) as process:
        if (status := process.wait(timeout=timeout)) != 0:
            raise ProcessError(f"{process.name} failed (status {status}):\n{process.output[-3000:]}")
        return process.output


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]
