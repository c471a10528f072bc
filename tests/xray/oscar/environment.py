"""The shop on Oscar, with packages of its own and the X-ray's code on the path."""

import os
import subprocess
from pathlib import Path

from tests import venvs
from tests.architecture.files import ROOT

PROJECT = Path(__file__).parent / "project"
XRAY = ROOT / "xray"


def make() -> Path:
    """Return the Python of its virtual environment."""
    return venvs.made("oscar") / "bin/python"


def run(program: Path, *arguments: str, folder: Path, **variables: str) -> str:
    """Run a program to its end; return what it printed."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "LANG", "TMPDIR") if name in os.environ}
    path = os.pathsep.join([str(XRAY), str(folder)])
    environment = {**kept, "PYTHONPATH": path, **variables}
    ended = subprocess.run(
        [str(program), *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
