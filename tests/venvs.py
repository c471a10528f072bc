"""Virtual environments for what runs on packages of its own: from a lock file, made once for each lock and Python."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.architecture.files import ROOT

_UV = str(Path(sys.executable).with_name("uv"))


def made(name: str) -> Path:
    """Return the folder of the environment with the packages of ``requirements/NAME.lock``."""
    lock, folder = ROOT / f"requirements/{name}.lock", ROOT / "var" / name
    venv = folder / hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    if not (venv / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", "--without-pip", str(venv))
        install(venv, "--require-hashes", "--requirement", str(lock))
        (venv / "made").touch()
    return venv


def install(venv: Path, *what: str) -> None:
    """Install packages, and nothing that they need."""
    run(_UV, "pip", "install", "--quiet", "--no-deps", "--python", str(venv / "bin/python"), *what)


def run(*command: str) -> None:
    """Run a program to its end, in this process' environment."""
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
