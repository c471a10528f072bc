"""``manage.py coupling``: shows how apps depend on each other; the exit code is 1 if they do."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from microworkflows.cutover import coupling
from microworkflows.cutover.coupling import FOREIGN_KEY, IMPORT, Pair


class Command(BaseCommand):
    help = (
        "Show, for each pair of apps, the foreign keys and imports by which one depends on the other. The exit code is 1 "
        "if there are any."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--of",
            nargs="+",
            metavar="APP",
            help="labels of the apps to look at; by default those in MICROWORKFLOWS['CUTOVER'], or all of the project",
        )
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, *args: Any, of: Sequence[str] | None, **options: Any) -> None:
        labels = of or coupling.own_apps()
        try:
            pairs = coupling.pairs(labels)
        except LookupError as error:
            raise CommandError(str(error)) from error
        except SyntaxError as error:
            raise CommandError(f"{error.filename}:{error.lineno} cannot be read: {error.msg}.") from error
        if options["json"]:
            self.stdout.write(json.dumps([_plain(pair) for pair in pairs], indent=2, ensure_ascii=False))
        elif pairs:
            self._show(pairs)
        else:
            self.stdout.write(f"None of these apps depends on another: {', '.join(labels)}.")
        if pairs:
            sys.exit(1)

    def _show(self, pairs: Sequence[Pair]) -> None:
        heads = ("app", "depends on", "foreign keys", "imports")
        rows = [(pair.app, pair.on, str(pair.count(FOREIGN_KEY)), str(pair.count(IMPORT))) for pair in pairs]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            self.stdout.write(
                f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
            )
        for pair in pairs:
            self.stdout.write(f"\n{pair.app} → {pair.on}")
            for bond in pair.bonds:
                self.stdout.write(f"  {_short(bond.file)}:{bond.line}  {bond.kind}  {bond.what}")


def _plain(pair: Pair) -> dict[str, Any]:
    return {
        "app": pair.app,
        "on": pair.on,
        "bonds": [
            {"kind": bond.kind, "what": bond.what, "file": _short(bond.file), "line": bond.line}
            for bond in pair.bonds
        ],
    }


def _short(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
