"""Ends what a killed run leaves behind: a small process that outlives the run and watches it through a pipe.

However a run dies, the kernel closes its end of the pipe. The watchdog then kills every process that bears the run's mark
in its environment, whatever session it is in, removes the run's folders and runs its commands. At a regular end only
processes that are left are killed: the rest the run has done itself. Processes are found in ``/proc``, so on Linux.
"""

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import uuid4

MARK = "STARTED_BY_RUN"
_KILL_SECONDS = 30.0

_lock = threading.Lock()
_runs: dict[int, tuple[str, subprocess.Popen[str]]] = {}
"""Mark and watchdog, by the process that started it: one that was forked is a run of its own."""


def mark() -> str:
    """Return the value of ``MARK`` for what this run starts, alone or followed by a dot and more."""
    return _run()[0]


def remove(folder: Path) -> None:
    """Remove a folder if this run is killed."""
    _tell("remove", str(folder.resolve()))


def run(*command: str) -> None:
    """Run a command if this run is killed, once its processes are gone, in the environment of when it started its first."""
    _tell("run", *command)


def marked(value: str, *, variable: str = MARK) -> set[int]:
    """Return the ids of living processes in whose environment a variable has this value, alone or followed by a dot and more."""
    alone, more = (f"{variable}={value}{end}".encode() for end in ("\0", "."))
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            environment = b"\0" + (process / "environ").read_bytes() + b"\0"
            if b"\0" + alone in environment or b"\0" + more in environment:
                found.add(int(process.name))
    return found


def kill(value: str) -> None:
    """Kill the processes that bear a mark, and those that they start meanwhile."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := marked(value)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


# The run's side


def _run() -> tuple[str, subprocess.Popen[str]]:
    with _lock:
        if os.getpid() not in _runs:
            value = f"{os.getpid()}-{uuid4().hex[:8]}"
            watchdog = subprocess.Popen(  # noqa: S603  (own command)
                # Without the packages of this Python, of which it needs none, it is there in no time.
                [sys.executable, "-IS", __file__, value],
                env={name: text for name, text in os.environ.items() if name != MARK},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C, and whatever kills the run's group, is not for it
            )
            _runs[os.getpid()] = value, watchdog
            atexit.register(_end)
        return _runs[os.getpid()]


def _tell(*words: str) -> None:
    pipe = _run()[1].stdin
    assert pipe is not None
    with _lock:
        pipe.write(json.dumps(words) + "\n")
        pipe.flush()


def _end() -> None:
    if os.getpid() in _runs:
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            _tell("done")
        _runs.pop(os.getpid())[1].communicate()


def _let_go() -> None:
    """Leave the pipe to the parent: its end must be closed when the parent dies, not when its last child does."""
    global _lock
    _lock = threading.Lock()  # at the parent somebody may have held it
    for _, watchdog in _runs.values():
        if watchdog.stdin is not None:
            watchdog.stdin.close()


os.register_at_fork(after_in_child=_let_go)


# The watchdog's side


def _watch(value: str) -> None:
    told = [json.loads(line) for line in sys.stdin]  # comes to its end with the run
    kill(value)
    if ["done"] in told:
        return
    for what, *words in told:
        if what == "remove":
            shutil.rmtree(words[0], ignore_errors=True)
        else:
            subprocess.run(words, check=False, stdin=subprocess.DEVNULL)  # noqa: S603  (the run's own command)


if __name__ == "__main__":
    _watch(sys.argv[1])
