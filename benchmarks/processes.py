"""Commands of a run: their environment is that of the harness and more, their folder the project's, if no other is named."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from project.processes import process

PYTHON = sys.executable
ROOT = Path(__file__).resolve().parents[1]


class Child(process.Process):
    """A command that runs beside the measurement; its output goes to a file."""

    def __init__(self, *command: str, env: Mapping[str, str], log: Path, cwd: Path = ROOT) -> None:
        super().__init__(*command, environment={**os.environ, **env}, log=log, cwd=cwd)


def run(*command: str, env: Mapping[str, str], log: Path, timeout: float = 600, cwd: Path = ROOT) -> str:
    """Run a command to its end and return its output.

    Raises:
        ProcessError: it ended with another status than 0, or made no progress for so long.
    """
    return process.run(*command, environment={**os.environ, **env}, log=log, timeout=timeout, cwd=cwd)
