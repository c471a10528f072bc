"""Which processes descend from one: a worker's pool and relay, the relay in a session of its own."""

import subprocess
from collections import defaultdict
from pathlib import Path

_PROC = Path("/proc")


def descendants(pid: int) -> set[int]:
    """Return the ids of the living processes that descend from ``pid``, whatever group or session they are in."""
    children = defaultdict(list)
    for child, parent in _parents():
        children[parent].append(child)
    found: set[int] = set()
    ahead = [pid]
    while ahead:
        new = set(children[ahead.pop()]) - found
        found |= new
        ahead += new
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those of ``pids`` that still run."""
    return pids & {pid for pid, _ in _parents()}


def _parents() -> list[tuple[int, int]]:
    """Return each process with its parent; the dead that nobody has waited for are left out."""
    rows = []
    if (_PROC / "self" / "stat").exists():
        for folder in _PROC.glob("[0-9]*"):
            try:
                # After the name, which may itself hold spaces and brackets: state, parent, …
                state, parent, *_ = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (OSError, ValueError):
                continue  # it ended meanwhile
            rows.append((folder.name, parent, state))
    else:
        command = ["ps", "-A", "-o", "pid=,ppid=,state="]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  (own command)
        rows = [(fields[0], fields[1], fields[2]) for fields in map(str.split, listing.splitlines())]
    return [(int(pid), int(parent)) for pid, parent, state in rows if not state.startswith(("Z", "X"))]
