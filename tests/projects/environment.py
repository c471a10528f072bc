"""The virtual environment of the foreign projects: their packages from a lock file, and the kit as a wheel."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import venvs


def make() -> Path:
    """Return the folder of its programs. It is made once for each lock file and Python; the kit is installed anew."""
    venv = venvs.made("projects")
    with TemporaryDirectory() as folder:
        venvs.run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        (wheel,) = Path(folder).glob("*.whl")
        venvs.install(venv, "--reinstall-package", "django-microworkflows", str(wheel))
    return venv / "bin"
