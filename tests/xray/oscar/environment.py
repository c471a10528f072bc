"""The shop on Oscar, with packages of its own and the X-ray's code on the path."""

import os
from pathlib import Path

from migrations_guide.engine import venvs
from tests.architecture.files import ROOT
from tests.xray import processes

PROJECT = ROOT / "migrations_guide/oscar/stages/before"
XRAY = ROOT / "xray"


def make() -> Path:
    """Return the Python of its virtual environment."""
    return venvs.made("oscar") / "bin/python"


def run(program: Path, *arguments: str, folder: Path, **variables: str) -> str:
    """Run a program to its end; return what it printed."""
    path = os.pathsep.join([str(XRAY), str(folder)])
    ended = processes.run(program, *arguments, cwd=folder, **{"PYTHONPATH": path, **variables})
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
