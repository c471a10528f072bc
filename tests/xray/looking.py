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

REPOSITORY = Path(__file__).parents[2]
PROJECTS = Path(__file__).parent / "projects"

SCRIPT = """
import sys
from pathlib import Path
from microworkflows_xray import errors, facts, options, project, static

root = Path.cwd()
said = options.read(root / "xray.ini" if (root / "xray.ini").exists() else None)
try:
    started = project.start(
        said.settings or None, root, also=said.also + tuple(sys.argv[2:]), exclude=said.exclude, loaders=said.loaders
    )
    facts.dump(static.look(started), Path(sys.argv[1]))
except errors.ProjectError as error:
    sys.exit(str(error))
"""


def unpack(name: str, folder: Path) -> Path:
    """Copy a project, with the files that no other tool is to read, and return its folder."""
    target = folder / name
    shutil.copytree(PROJECTS / name, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in target.rglob("*.py.txt"):
        path.rename(path.with_suffix(""))
    return target


def run(project: Path, output: Path, *also: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Look at a project; its facts, if there are any, are in the output."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environment = kept | {"PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY / "xray"), path]))}
    command = [sys.executable, "-c", SCRIPT, str(output), *also]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


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
