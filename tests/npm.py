"""Tools from npm that tests use, each installed once for its lock, by a Node.js from ``requirements/asyncapi.lock``."""

import os
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).parent


class ToolError(Exception):
    """A tool cannot be installed, or failed."""


def installed(name: str) -> Path:
    """Return a copy of the folder ``tests/NAME`` in which the packages of its lock are installed."""
    lock = (TOOLS / name / "package-lock.json").read_bytes()
    folder = _node() / name
    if not ((folder / "made").exists() and (folder / "made").read_bytes() == lock):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(TOOLS / name, folder)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
        (folder / "made").write_bytes(lock)
    return folder


def run(program: str, *arguments: str, folder: Path) -> str:
    """Run a program of Node.js in a folder; return what it prints."""
    programs = _node() / "bin"
    ended = subprocess.run(
        [str(programs / program), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ToolError(f"{program} {' '.join(arguments)} failed: {ended.stderr}")
    return ended.stdout


def _node() -> Path:
    # The copy in which the kit is tested without guests has no guide.
    from migrations_guide.engine import venvs

    try:
        return venvs.made("asyncapi")
    except venvs.VenvError as error:
        raise ToolError(str(error)) from error
