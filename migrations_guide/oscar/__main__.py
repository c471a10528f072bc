"""``python -m migrations_guide.oscar``: walk from Oscar as it is to two contexts live, one of them moved away and back."""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from migrations_guide.engine.stages import ROOT
from migrations_guide.engine.venvs import VenvError
from migrations_guide.oscar.telling import WalkError
from migrations_guide.oscar.walk import Walk
from project.processes.process import ProcessError
from project.processes.servers import MissingServerError
from project.processes.waiting import NotYetError


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m migrations_guide.oscar", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the table that is moved")
    parser.add_argument(
        "--tests", default="tests", help="arguments of pytest that choose the shop's tests (default: all)"
    )
    parser.add_argument("--into", type=Path, default=ROOT / "var/guide/oscar", help="folder of the copies")
    options = parser.parse_args()
    # Whoever asks it to end, and however: what it started ends with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    broker = os.environ.get("BROKER_URL") or "amqp://guest:guest@127.0.0.1:5672//"
    try:
        Walk(options.into, rows=options.rows, tests=shlex.split(options.tests), broker=broker).run()
    except (WalkError, VenvError, ProcessError, MissingServerError, NotYetError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


sys.exit(main())
