"""Child processes of a run: started in groups of their own, measured while they live, ended with all that they started."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tests.integration.support.processes import ROOT, Process, children

PYTHON = sys.executable
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ChildError(Exception):
    """A command of the run failed; the message holds the end of its output."""


class Child(Process):
    """A command that runs beside the measurement; its output goes to a file."""

    def __init__(self, *command: str, env: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
        super().__init__(*command, environment=env, log=log, cwd=cwd)

    def cpu_seconds(self) -> float:
        """Return what it and its living descendants, and those of its children that it waited for, spent so far."""
        return cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Return the resident memory of it and its living descendants."""
        return resident_bytes(self.pid)


def run(*command: str, env: Mapping[str, str], log: Path, timeout: float = 600, cwd: Path = ROOT) -> str:
    """Run a command to its end and return its output.

    Raises:
        ChildError: it ended with another status than 0, or not in time.
    """
    with Child(*command, env=env, log=log, cwd=cwd) as child:
        try:
            status = child.wait(timeout=timeout)
        except AssertionError as error:
            raise ChildError(f"{' '.join(command)}: {error}") from error
        if status != 0:
            raise ChildError(f"{' '.join(command)} ended with status {status}:\n{child.output[-3000:]}")
        return child.output


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its living descendants, user and system."""
    ticks = 0
    for each in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its living descendants."""
    pages = 0
    for each in family(pid):
        with suppress(OSError):
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
    return pages * _PAGE


def family(pid: int) -> Iterator[int]:
    """Yield the id of a process and of all its living descendants."""
    yield pid
    for child in children(pid):
        yield from family(child)


def git_commit() -> str:
    """Return the commit that is measured, with a mark if the tree differs from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    return described.stdout.strip() or "unknown"
