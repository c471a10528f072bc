"""``manage.py ocel``: export flows as an object-centric event log (OCEL 2.0, JSON)."""

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from microworkflows.journal import ocel
from microworkflows.journal.management.arguments import a_time
from microworkflows.management.base import KitCommand


class Command(KitCommand):
    help = "Export the flows that began in a time as an object-centric event log (OCEL 2.0, JSON), for tools of process mining."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=a_time, help="flows that began at this time or later")
        parser.add_argument("--until", type=a_time, help="flows that began before this time")
        parser.add_argument("--output", type=Path, metavar="FILE", help="write the log to FILE")

    def handle(
        self, *, since: datetime | None, until: datetime | None, output: Path | None, **options: Any
    ) -> None:
        parts = ocel.export(since=since, until=until)
        if output is None:
            for part in parts:
                self.stdout.write(part, ending="")
            return
        with output.open("w", encoding="utf-8") as file:
            file.writelines(parts)
        self.stdout.write(f"The log is written to {output}.")
