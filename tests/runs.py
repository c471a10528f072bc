"""Names of test runs: each tells its machine and its process, so that one can tell later whether the run is dead."""

import hashlib
import os
import re
import socket
from pathlib import Path

PREFIX = "microworkflows_test"

_NAME = re.compile(rf"{PREFIX}_(?P<machine>[0-9a-f]{{6}})_(?P<pid>\d+)_(?P<began>[0-9a-f]{{6}})(?=_|$)")
_PROCESSES = Path("/proc")


def name_of(pid: int) -> str | None:
    """Return the name of the run that a process of this machine is or would be; None if there is no such process."""
    try:
        stat = (_PROCESSES / str(pid) / "stat").read_text()
    except OSError:
        return None
    started = stat.rpartition(")")[2].split()[19]  # in ticks since the machine booted
    boot = (_PROCESSES / "sys/kernel/random/boot_id").read_text()
    return f"{PREFIX}_{_machine()}_{pid}_{_short(boot, started)}"


def dead(name: str) -> str | None:
    """Return the run that made the thing of this name, if it was a run of this machine that has ended; else None.

    A process id that is used again, or belongs to another machine or container, is not mistaken for it.
    """
    found = _NAME.match(name)
    if found is None or found["machine"] != _machine() or name_of(int(found["pid"])) == found[0]:
        return None
    return found[0]


def _machine() -> str:
    """Return what tells apart the machines, and the containers on one machine, whose processes have the same ids."""
    return _short(socket.gethostname(), os.readlink(_PROCESSES / "self/ns/pid"))


def _short(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:6]
