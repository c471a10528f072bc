"""Programs that a command runs beside itself: their lines are passed on, and none of them outlives it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from microworkflows.management import leash

_STOP_SECONDS = 10.0
_READ_SECONDS = 1.0
"""Time for the last lines, if what is in no group of ours, such as a worker's relay, still holds the pipe."""


class Program:
    """A command, and the process that runs it at present, if one does; Ctrl-C in the terminal does not reach it.

    Args:
        name: What people call it.
        command: Program and arguments.
        tell: Receives each line that it writes, errors too.
        stop_seconds: After so many it is killed when it is to end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        tell: Callable[[str], None],
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        self.name = name
        self._command = [sys.executable, "-IS", leash.__file__, str(stop_seconds), *command]
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def status(self) -> int | None:
        """The exit status of its process; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it, or start it again."""
        self.end()
        self._process = subprocess.Popen(  # noqa: S603  (own command)
            self._command,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout], daemon=True)
        self._reader.start()

    def end(self) -> None:
        """End it, and leave nothing of its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait()
        finally:  # at once, if Ctrl-C is pressed once more
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self._reader.join(_READ_SECONDS)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._tell(line.decode(errors="replace").rstrip("\r\n"))
