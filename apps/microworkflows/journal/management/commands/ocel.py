"""``manage.py ocel``: export flows as an object-centric event log (OCEL 2.0, JSON)."""

from argparse import ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from microworkflows import times
from microworkflows.journal import ocel


def a_time(text: str) -> datetime:
    """Return a time that somebody wrote; without a zone, it is of the project's ``TIME_ZONE``."""
    try:
        return times.aware(datetime.fromisoformat(text))
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-01-31T12:00+01:00") from None


class Command(BaseCommand):
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
