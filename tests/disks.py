"""A small disk for one process: a file system of its own, which nobody else sees and which ends with the process."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

_WAYS = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))


def on_small_disk(folder: Path, *command: str, kib: int = 64) -> list[str]:
    """Return a command that runs another one with so many KiB of room in this folder; skip the test where nobody may mount.

    The process id stays the same, and ``/proc/<id>/root/<folder>`` shows what it wrote there.
    """
    if (way := _way()) is None:
        pytest.skip(
            "this system lets nobody mount a small file system; other tests limit the size of files instead"
        )
    mount = f'mount -t tmpfs -o size={kib}k tmpfs "$0" && exec "$@"'
    return [*way, "sh", "-c", mount, str(folder), *command]


@cache
def _way() -> tuple[str, ...] | None:
    for way in _WAYS:
        probe = [*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        try:
            if not subprocess.run(probe, check=False, capture_output=True).returncode:
                return way
        except FileNotFoundError:
            return None
    return None
