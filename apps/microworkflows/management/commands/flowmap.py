"""``manage.py flowmap``: print the flow map as Mermaid text, write it to a file, or check that a file is fresh."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from microworkflows import flowmap


class Command(BaseCommand):
    """Print, write or check the flow map."""

    help = (
        "Prints the flow map (who emits which event to whom) as a Mermaid flowchart. "
        "In a Markdown file (.md) it is the one block of Mermaid; any other file holds the map alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        target = parser.add_mutually_exclusive_group()
        target.add_argument("--output", type=Path, metavar="FILE", help="Write the map to FILE.")
        target.add_argument("--check", type=Path, metavar="FILE", help="Fail when the map in FILE is stale.")

    def handle(self, *, output: Path | None, check: Path | None, **options: Any) -> None:
        if output is not None:
            output.write_text(_fresh(output), encoding="utf-8")
            self.stdout.write(f"The flow map is written to {output}.")
        elif check is not None:
            if not check.exists():
                raise CommandError(f"{check} does not exist. Write it: manage.py flowmap --output {check}")
            if check.read_text(encoding="utf-8") != _fresh(check):
                raise CommandError(
                    f"The flow map in {check} is stale: the microworkflows or their events have changed since. "
                    f"Write it anew: manage.py flowmap --output {check}"
                )
            self.stdout.write(f"The flow map in {check} is fresh.")
        else:
            self.stdout.write(flowmap.flow_map(), ending="")


def _fresh(file: Path) -> str:
    """Return the fresh contents of ``file``."""
    if file.suffix != ".md":
        return flowmap.flow_map()
    try:
        return flowmap.in_page(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{file} does not exist. Create the page with an empty Mermaid block (```mermaid, then ```) first."
        ) from None
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from error
