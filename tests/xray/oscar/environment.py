"""The virtual environment of the shop on Oscar: its packages from a lock file; the X-ray's own code is put on the path."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.architecture.files import ROOT

PROJECT = Path(__file__).parent / "project"
XRAY = ROOT / "xray"
_VENVS = ROOT / "var/oscar"
_LOCK = ROOT / "requirements/oscar.lock"
_UV = str(Path(sys.executable).with_name("uv"))


def make() -> Path:
    """Return its Python. It is made once for each lock file and Python."""
    key = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = _VENVS / key
    python = venv / "bin/python"
    if not (venv / "made").exists():
        shutil.rmtree(_VENVS, ignore_errors=True)
        run(Path(sys.executable), "-m", "venv", "--without-pip", str(venv), folder=ROOT)
        packages = ("--require-hashes", "--requirement", str(_LOCK))
        run(
            Path(_UV),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            str(python),
            *packages,
            folder=ROOT,
        )
        (venv / "made").touch()
    return python


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
