"""Processor time: what processes, and the servers beside them, have spent since a moment."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psycopg

from project.processes import tree

Spent = dict[str, float]
"""Seconds by name."""


def clock(processes: Mapping[str, Iterable[int]]) -> Callable[[], Spent]:
    """Begin to count the processor time of processes and their descendants; the call tells the seconds since."""

    def read() -> Spent:
        families = {name: {*pids}.union(*map(tree.descendants, pids)) for name, pids in processes.items()}
        return {name: tree.cpu_seconds(family) for name, family in families.items()}

    before = read()
    return lambda: {name: seconds - before[name] for name, seconds in read().items()}


def server(database: str) -> int | None:
    """Return the id of PostgreSQL's first process, of which its sessions are children; None if it runs elsewhere."""
    with psycopg.connect(database) as session:
        process = Path(f"/proc/{session.info.backend_pid}")
        try:
            name, parent = (process / "comm").read_text(), (process / "stat").read_text()
        except OSError:
            return None
    # The command's name, in parentheses, may hold anything; what follows it is: state, parent, …
    return int(parent.rpartition(")")[2].split()[1]) if name.startswith("postgres") else None


def sessions(database: str) -> list[int]:
    """Return the ids of the processes of PostgreSQL that serve a database now; none if it runs elsewhere."""
    if server(database) is None:
        return []
    with psycopg.connect(database) as session:
        found = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in found]
