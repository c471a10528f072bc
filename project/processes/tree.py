"""The machine's processes as ``/proc`` shows them: who descends from whom, what each does and has spent."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Return the ids of the child processes, those included that ended and were not waited for (zombies)."""
    return sorted(child for child, (_, parent, *_) in _all().items() if int(parent) == pid)


def descendants(pid: int) -> set[int]:
    """Return the ids of the living processes that descend from one, whatever group or session they are in."""
    processes = _all()
    found, ahead = set[int](), {pid}
    while ahead:
        ahead = {child for child, (_, parent, *_) in processes.items() if int(parent) in ahead}
        found |= ahead
    return {each for each in found if processes[each][0] not in "ZX"}


def state(pid: int) -> str:
    """Return the letter that says what a process does (``Z``: zombie); empty if there is none."""
    return (_stat(_PROC / str(pid)) or [""])[0]


def exists(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return state(pid) not in {"", "Z", "X"}


def command(pid: int) -> str:
    """Return the command line of a process."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time that processes, and those of their children that they waited for, have spent."""
    stats = (_stat(_PROC / str(pid)) for pid in pids)
    return sum(sum(map(int, stat[11:15])) for stat in stats) / _TICKS


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * _PAGE


def _all() -> dict[int, list[str]]:
    found = {int(folder.name): _stat(folder) for folder in _PROC.glob("[0-9]*")}
    return {pid: stat for pid, stat in found.items() if stat}


def _stat(folder: Path) -> list[str]:
    """Return state, parent and so on; nothing if the process is gone."""
    try:
        # The name that comes before, in parentheses, may hold anything.
        return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
