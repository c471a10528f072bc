"""``python -m microworkflows_xray COMMAND``: what holds a Django monolith together, and where it comes apart."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from microworkflows_xray import __version__, commands
from microworkflows_xray.errors import ProjectError
from microworkflows_xray.facts import FactsError
from microworkflows_xray.report import FORMATS
from microworkflows_xray.report.content import EmptyError

_CODES = """exit codes:
  0  fine; a partial report says on standard error, and in itself, what is missing
  1  violations were found (guard)
  2  the command is wrong, or nothing could be looked at
  3  the result is partial, under --strict"""


_RECORD_CODES = """exit codes:
  that of the program; 2 if it ran no test"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if stream:
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code: int = options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough. Nothing may be flushed into the closed pipe at exit, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return commands.FINE
    except KeyboardInterrupt:
        return 130
    except (EmptyError, FactsError, ProjectError, OSError) as error:
        commands.tell([f"xray: {error}"])
        return commands.UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m microworkflows_xray",
        description="See what holds a Django monolith together: who imports, reads and writes what of whom. It changes nothing.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_look, _record, _report, _propose, _rank, _footprint, _truth, _seams, _guard, _scaffold):
        add(subparsers)
    return parser


if TYPE_CHECKING:
    Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  (argparse names it nowhere else)


def _command(
    subparsers: Subparsers, name: str, text: str, *, observed: bool = True
) -> argparse.ArgumentParser:
    """Add a command with the options that all have."""
    parser = subparsers.add_parser(
        name, help=text, description=text, epilog=_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=getattr(commands, name))
    where = parser.add_argument_group("the project")
    where.add_argument(
        "--settings",
        metavar="MODULE",
        help="settings module; found in manage.py and the environment if left out",
    )
    where.add_argument(
        "--root", default=".", metavar="FOLDER", help="the project's folder (default: this one)"
    )
    where.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="installed package to treat as the project's own",
    )
    where.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="files to leave out, beside tests and migrations",
    )
    where.add_argument("--include-tests", action="store_true", help="look at tests, too")
    where.add_argument(
        "--facts", type=Path, metavar="FILE", help="read what `look` wrote, instead of looking again"
    )
    where.add_argument(
        "--contexts",
        type=Path,
        metavar="FILE",
        help="division into contexts (default: the project's xray.ini, or one an app)",
    )
    where.add_argument("--strict", action="store_true", help="exit with 3 if anything could not be looked at")
    parser.set_defaults(observed=None)
    if observed:
        where.add_argument(
            "--observed", nargs="+", type=Path, metavar="FILE", help="recordings made while the project ran"
        )
    return parser


def _look(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "look", "Write what the code tells as facts.", observed=False)
    parser.add_argument("--output", default="xray-facts.json", metavar="FILE", help="(default: %(default)s)")


def _report(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "report", "Write the report.")
    parser.add_argument(
        "--format",
        type=_formats,
        default="html",
        help="html, md, json, sarif, or several with commas (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        default="xray-report",
        metavar="FILE",
        help="- for standard output; the suffix is added (default: %(default)s)",
    )
    parser.add_argument(
        "--function", default="", metavar="FUNCTION", help="add the footprint of this function"
    )
    parser.add_argument("--workflow", default="", metavar="WORKFLOW", help="add the seams of this workflow")


def _propose(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "propose", "Write proposed contexts, to be edited.")
    parser.add_argument(
        "--output", default="xray.ini", metavar="FILE", help="- for standard output (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace the contexts that the file has")


def _rank(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "rank", "Print in which order contexts can leave, and what each costs.")
    parser.add_argument("--places", action="store_true", help="with the places of each part")


def _footprint(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "footprint", "Print what a function touches, and who else touches it.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("function", nargs="*", default=[], metavar="FUNCTION", help="dotted name")
    what.add_argument("--columns", default="", metavar="TABLE.COLUMN,…", help="start from columns instead")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="(default: %(default)s)")


def _record(subparsers: Subparsers) -> None:
    text = "Run a project's tests by Django's test runner, and write what they did."
    parser = subparsers.add_parser(
        "record",
        help=text,
        description=text,
        epilog=_RECORD_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=commands.record)
    parser.add_argument(
        "--output", default="xray-observed.json", metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--root", default=".", metavar="DIR", help="the project's root (default: %(default)s)"
    )
    parser.add_argument(
        "--also",
        metavar="PACKAGE",
        action="append",
        help="an installed package to look at as if it were the project's; may be given several times",
    )
    parser.add_argument(
        "program", nargs=argparse.REMAINDER, metavar="PROGRAM ARGUMENT …", help="such as: manage.py test"
    )


def _truth(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "truth", "Measure predictions against a recording.")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="(default: %(default)s)")


def _seams(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "seams", "Print where a workflow hands over from one context to another.")
    parser.add_argument(
        "workflow",
        nargs="?",
        default="",
        metavar="WORKFLOW",
        help="function, class, URL name, request or task",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="(default: %(default)s)")


def _guard(subparsers: Subparsers) -> None:
    parser = _command(subparsers, "guard", "Fail if a bond between contexts is new.", observed=False)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--init", action="store_true", help="write the baseline")
    how.add_argument("--update", action="store_true", help="take bonds that are gone out of the baseline")
    parser.add_argument(
        "--allow", default="", metavar="REASON", help="take new bonds into the baseline, for this reason"
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="(default: xray-guard.json in the root)"
    )
    parser.add_argument(
        "--format", choices=["text", "json", "sarif", "github"], default="text", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--import-linter", type=Path, metavar="FILE", help="write contracts for import-linter"
    )


def _scaffold(subparsers: Subparsers) -> None:
    parser = _command(
        subparsers, "scaffold", "Write the event, operation and workflow of a seam.", observed=False
    )
    parser.add_argument("seam", metavar="SEAM", help="id that `seams` prints")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write into")


def _formats(text: str) -> str:
    unknown = [name for name in text.split(",") if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no format; there are {', '.join(FORMATS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
