"""Makes each peer a virtual environment of its own from its lock file, once."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent
VENVS = FOLDER.parents[1] / "var" / "bench" / "venvs"
_TIMEOUT = 600
_END = 2000
"""How much of a failed command's output is shown, in characters."""


class PeerEnvironmentError(Exception):
    """A peer's virtual environment could not be made; the message holds the end of the output."""


def python(peer: str, *, say: Callable[[str], None]) -> Path:
    """Return the interpreter of the peer's virtual environment; make the environment if it is not there yet.

    The environment belongs to one lock file and one Python: where either changes, a new one is made and the old removed.

    Raises:
        PeerEnvironmentError: it cannot be made.
    """
    lock = FOLDER / peer / "requirements.lock"
    key = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = VENVS / f"{peer}-{key}"
    made = venv / "made"
    interpreter = venv / "bin" / "python"
    if made.exists():
        return interpreter

    say(f"making an environment for {peer} …")
    for old in VENVS.glob(f"{peer}-*"):
        shutil.rmtree(old, ignore_errors=True)
    _run(peer, sys.executable, "-m", "venv", str(venv))
    install = [
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--no-deps",
        "--require-hashes",
    ]
    _run(peer, str(interpreter), *install, "--requirement", str(lock))
    made.touch()
    return interpreter


def _run(peer: str, *command: str) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.CalledProcessError as error:
        raise PeerEnvironmentError(f"no environment for {peer}: {error.stdout[-_END:].strip()}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerEnvironmentError(f"no environment for {peer}: {error}") from error
