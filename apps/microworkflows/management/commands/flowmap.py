"""``manage.py flowmap``: print the flow map as Mermaid text, write it to a file, or check that a file is fresh."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import flowmap
from microworkflows.management.generated import GeneratingCommand


class Command(GeneratingCommand):
    """Print, write or check the flow map."""

    subject = "The flow map"

    help = (
        "Prints the flow map (who emits which event to whom) as a Mermaid flowchart. "
        "In a Markdown file (.md) it is the one block of Mermaid; any other file holds the map alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_targets(parser, write="Write the map to FILE.", check="Fail when the map in FILE is stale.")

    def handle(self, *, output: Path | None, check: Path | None, **options: Any) -> None:
        if check is not None and not check.exists():
            raise CommandError(f"{check} does not exist. Write it: manage.py flowmap --output {check}")
        file = output or check
        self.deliver(
            flowmap.flow_map() if file is None else _fresh(file),
            output=output,
            check=check,
            stale="the microworkflows or their events have changed since. Write it anew: manage.py flowmap",
        )


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
