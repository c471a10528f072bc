"""``manage.py coupling``: shows how apps depend on each other; the exit code is 1 if they do."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows.cutover import coupling
from microworkflows.cutover.coupling import FOREIGN_KEY, IMPORT, STRING, Pair, Report
from microworkflows.management.base import Exit, KitCommand, add_format


class Command(KitCommand):
    help = (
        "Show, for each pair of apps, the foreign keys, imports and strings by which one depends on the other. The exit code "
        "is 1 if there are any, 3 if none was found and something could not be looked at, and 2 if there is nothing to look at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--of",
            nargs="*",
            metavar="APP",
            help="labels of the apps to look at, installed packages too; by default those in MICROWORKFLOWS['CUTOVER'], or "
            "all of the project",
        )
        add_format(parser)

    def handle(self, *args: Any, of: Sequence[str] | None, **options: Any) -> None:
        labels = list(dict.fromkeys(coupling.own_apps() if of is None else of))
        try:
            report = coupling.of(labels)
        except LookupError as error:
            raise CommandError(str(error), returncode=Exit.MISUSED) from error
        if len(labels) < 2:
            raise CommandError(
                f"Coupling is a matter between apps, and {f'only {labels[0]} was' if labels else 'no app was'} to be looked at. "
                "Name two or more with --of, such as --of orders payments; labels of installed packages work, too. Without "
                "--of, the apps of MICROWORKFLOWS['CUTOVER'] are looked at, else those that lie outside site-packages.",
                returncode=Exit.MISUSED,
            )
        if options["format"] == "json":
            self.say_json(_plain(report, labels))
        else:
            self._show(report, labels)
        if not report.is_clean:
            sys.exit(int(Exit.FOUND if report.pairs else Exit.UNKNOWN))

    def _show(self, report: Report, labels: Sequence[str]) -> None:
        if report.pairs:
            self._show_pairs(report.pairs)
        elif report.not_looked_at:
            self.stdout.write(
                f"Partial: nothing was found between {', '.join(labels)}, but not all was looked at."
            )
        else:
            self.stdout.write(
                f"None of these apps depends on another by foreign key, import or string: {', '.join(labels)}."
            )
        if report.not_looked_at:
            self.stdout.write(f"\nnot looked at: {len(report.not_looked_at)}")
            for gap in report.not_looked_at:
                self.stdout.write(f"  {gap}")
        self.stdout.write(f"\n{coupling.NOT_SEEN}")

    def _show_pairs(self, pairs: Sequence[Pair]) -> None:
        heads = ("app", "depends on", "foreign keys", "imports", "strings")
        rows = [
            (pair.app, pair.on, *(str(pair.count(kind)) for kind in (FOREIGN_KEY, IMPORT, STRING)))
            for pair in pairs
        ]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            names = [f"{cell:<{width}}" for cell, width in zip(row[:2], widths[:2], strict=True)]
            numbers = [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
            self.stdout.write("  ".join([*names, *numbers]))
        for pair in pairs:
            self.stdout.write(f"\n{pair.app} → {pair.on}")
            for bond in pair.bonds:
                self.stdout.write(f"  {_short(bond.file)}:{bond.line}  {bond.kind}  {bond.what}")


def _plain(report: Report, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "apps": list(labels),
        "partial": bool(report.not_looked_at),
        "not_looked_at": report.not_looked_at,
        "not_seen": coupling.NOT_SEEN,
        "pairs": [
            {
                "app": pair.app,
                "on": pair.on,
                "bonds": [
                    {"kind": bond.kind, "what": bond.what, "file": _short(bond.file), "line": bond.line}
                    for bond in pair.bonds
                ],
            }
            for pair in report.pairs
        ],
    }


def _short(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
