"""``python -m migrations_guide``: list the stages, make their working copies, compare and verify them."""

import argparse
import os
import signal
import sys
from pathlib import Path

from migrations_guide.engine import pages, stages, working_copy
from migrations_guide.engine.stages import StageError
from migrations_guide.engine.verifying import VerificationError, verify


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m migrations_guide", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the stages")
    commands.add_parser("pages", help="write the code and the pictures that the pages show, from the stages")
    for name, does in {
        "compose": "make a stage's working copy in var/guide",
        "diff": "show what a stage changes",
        "verify": "make a stage's working copy, run it, and see that it does what a shop must",
    }.items():
        commands.add_parser(name, help=does).add_argument("stage", type=int)
    commands.choices["diff"].add_argument(
        "--since", type=int, help="the stage to compare with (default: the one before)"
    )
    for name in ("compose", "verify"):
        commands.choices[name].add_argument(
            "--into", type=Path, help="the folder (default: var/guide/stage-…)"
        )
    commands.choices["verify"].add_argument(
        "--serve", action="store_true", help="leave it running until Ctrl-C, to look around"
    )
    options = parser.parse_args()
    # Whoever asks it to end, and however: what it started ends with it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return _run(options)
    except (StageError, VerificationError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads this has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "list":
        for stage in stages.stages():
            print(f"{stage.number}  {stage.title}\n   {stage.says}")
    elif options.command == "pages":
        for path in pages.write():
            print(_short(path))
    elif options.command == "compose":
        print(_short(working_copy.compose(options.stage, into=options.into)))
    elif options.command == "diff":
        sys.stdout.writelines(working_copy.diff(options.stage, since=options.since))
    else:
        stage = stages.stage(options.stage)
        return verify(stage, environment=os.environ, serve=options.serve, into=options.into)
    return 0


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
