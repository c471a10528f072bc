"""Runs a command on a leash: ``python leash.py SECONDS COMMAND …`` ends it when its own standard input ends.

The one who started it holds the other end of that pipe, and lets go by closing it. However that process dies, the kernel
closes it, so the command never outlives it. It is asked to end, and has some seconds for that; then all that is left in the
process group is killed. The group must be this process's own.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress

_LOOK_SECONDS = 0.1


def run(command: list[str], *, seconds: float) -> int:
    """Run a command, and return its exit status as a shell does."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  (what its parent asks for)
    while process.poll() is None:
        if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:  # nobody writes, so this is its end
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            os.killpg(0, signal.SIGKILL)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], seconds=float(sys.argv[1])))
