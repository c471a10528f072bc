"""Look at a tiny foreign project in a process and a folder of its own, as a user of it would."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from microworkflows_xray import facts
from microworkflows_xray.facts import Static
from tests.xray import processes

REPOSITORY = Path(__file__).parents[2]
PROJECTS = Path(__file__).parent / "projects"


def unpack(name: str, folder: Path) -> Path:
    """Copy a project, with the files that no other tool is to read, and return its folder."""
    target = folder / name
    shutil.copytree(PROJECTS / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in target.rglob("*.py.txt"):
        path.rename(path.with_suffix(""))
    return target


def run(project: Path, output: Path, *also: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Look at a project; its facts, if there are any, are in the output."""
    told = [part for package in also for part in ("--also", package)]
    command = [sys.executable, "-m", "microworkflows_xray", "look", "--output", str(output), *told]
    paths = os.pathsep.join(filter(None, [str(REPOSITORY / "xray"), path]))
    return processes.run(*command, cwd=project, PYTHONPATH=paths)


@functools.cache
def look(name: str, *also: str, path: str = "") -> Static:
    """Return what the code of a project tells; it is looked at once for all tests.

    Args:
        path: folder in the project that stands for site-packages.
    """
    with tempfile.TemporaryDirectory() as folder:
        project = unpack(name, Path(folder))
        before = set(project.rglob("*"))
        done = run(project, Path(folder) / "facts.json", *also, path=str(project / path) if path else "")
        assert done.returncode == 0, done.stderr
        assert set(project.rglob("*")) == before, "It wrote into the project."
        return facts.load(Static, Path(folder) / "facts.json")
