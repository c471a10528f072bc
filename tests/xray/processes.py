"""Programs in processes to which nothing of this run's settings or paths is known."""

import os
import subprocess
from pathlib import Path

_KEPT = ("HOME", "LANG", "PATH", "TMPDIR")


def environment(**variables: str) -> dict[str, str]:
    """Return the variables that a program is given: those that any shell has, and these."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | variables


def run(*command: str | Path, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, whatever its exit code."""
    return subprocess.run(
        command, cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False
    )
