"""The virtual environment of the foreign projects: their packages from a lock file, and the kit as a wheel."""

from pathlib import Path

from migrations_guide.engine import venvs
from tests.architecture.files import ROOT


def make() -> Path:
    """Return the folder of its programs. It is made once for each lock file and Python; the kit is installed anew."""
    return venvs.with_wheels("projects", ROOT)
