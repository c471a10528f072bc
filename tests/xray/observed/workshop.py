"""A copy of the workshop, a tiny project, and the recordings that its tests and requests leave."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from microworkflows_xray.facts import Access, Observed, Transaction, load
from tests.xray import processes

_ORIGINAL = Path(__file__).parents[1] / "projects/workshop"
RECORDER = ("-p", "microworkflows_xray.recorder")


class Workshop:
    """A copy in a folder, whose programs run in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "workshop"
        shutil.copytree(_ORIGINAL, self.folder, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python to its end."""
        own = {
            "PYTHONPATH": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return processes.run(sys.executable, *arguments, cwd=self.folder, **{**own, **variables})

    def test(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run its tests."""
        return self.run(
            "-m",
            "pytest",
            "-v",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:microworkflows",
            *options,
            "tests",
            **variables,
        )

    def recording(self, name: str = "xray-observed.json") -> Observed:
        """Read the recording that pytest made."""
        return load(Observed, self.folder / name)


def outcomes(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the outcome of each test, from what ``pytest -v`` printed."""
    found = re.findall(
        r"^(?:\[gw\d+\] \[ *\d+%\] )?(?:(PASSED|FAILED) )?(tests/\S+)(?: (PASSED|FAILED))?",
        ended.stdout,
        re.MULTILINE,
    )
    return {name: before or after for before, name, after in found if before or after}


def unit(observed: Observed, kind: str, name: str, inside: str = "") -> Transaction:
    """Return the only unit of this kind and name."""
    (found,) = [
        each for each in observed.transactions if (each.kind, each.name, each.inside) == (kind, name, inside)
    ]
    return found


def written(accesses: Iterable[Access]) -> set[tuple[str, str, str]]:
    """Return verb, table and function of each access that writes."""
    return {
        (access.verb, access.table, access.place.function) for access in accesses if access.verb != "read"
    }
