"""The virtual environment of the foreign projects: their packages from a lock file, and the kit as a wheel."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.architecture.files import ROOT

_VENVS = ROOT / "var/projects"
_LOCK = ROOT / "requirements/projects.lock"
_UV = str(Path(sys.executable).with_name("uv"))


def make() -> Path:
    """Return the folder of its programs. It is made once for each lock file and Python; the kit is installed anew."""
    key = hashlib.sha256(_LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = _VENVS / key
    if not (venv / "made").exists():
        shutil.rmtree(_VENVS, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
        _install(venv, "--require-hashes", "--requirement", str(_LOCK))
        (venv / "made").touch()
    with TemporaryDirectory() as folder:
        _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        (wheel,) = Path(folder).glob("*.whl")
        _install(venv, "--reinstall-package", "django-microworkflows", str(wheel))
    return venv / "bin"


def _install(venv: Path, *what: str) -> None:
    _run(_UV, "pip", "install", "--quiet", "--no-deps", "--python", str(venv / "bin/python"), *what)


def _run(*command: str) -> None:
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
