"""Virtual environments for what runs on packages of its own: from a lock file, made once for each lock and Python."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from migrations_guide.engine.stages import ROOT

_UV = str(Path(sys.executable).with_name("uv"))


class VenvError(Exception):
    """An environment cannot be made."""


def made(name: str) -> Path:
    """Return the folder of the environment with the packages of ``requirements/NAME.lock``."""
    lock, folder = ROOT / f"requirements/{name}.lock", ROOT / "var" / name
    venv = folder / hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    if not (venv / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
        _install(venv, "--require-hashes", "--requirement", str(lock))
        (venv / "made").touch()
    return venv


def with_wheels(name: str, *projects: Path) -> Path:
    """Return the folder of its programs, with the wheels of these projects built and installed anew."""
    venv = made(name)
    for project in projects:
        with TemporaryDirectory() as folder:
            _run(
                *(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder),
                cwd=project,
            )
            _install(venv, "--reinstall", *map(str, Path(folder).glob("*.whl")))
    return venv / "bin"


def _install(venv: Path, *what: str) -> None:
    """Install packages, and nothing that they need."""
    _run(_UV, "pip", "install", "--quiet", "--no-deps", "--python", str(venv / "bin/python"), *what)


def _run(*command: str, cwd: Path = ROOT) -> None:
    """Run a program to its end, in this process' environment."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise VenvError(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
