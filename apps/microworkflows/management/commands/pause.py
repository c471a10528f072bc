"""``manage.py pause``: hold a context, a microworkflow or a flow back, with the reason, until somebody resumes it or for a time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import holds, times
from microworkflows.management import choosing, holding
from microworkflows.management.base import Exit, KitCommand


class Command(KitCommand):
    help = (
        "Pause a context, a microworkflow or a flow: its messages wait in the inbox, and no attempt is lost. "
        "`manage.py resume` brings them back by and by."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        holding.add_arguments(parser)
        parser.add_argument(
            "--minutes", type=float, help="it resumes by itself after these; by default somebody resumes it"
        )
        parser.add_argument("--why", required=True, help="the reason, for those who wonder")
        parser.add_argument("--by", help="name for the record; by default the user who runs this")

    def handle(self, *args: Any, minutes: float | None, why: str, by: str | None, **options: Any) -> None:
        kind, name = holding.chosen(options)
        try:
            ends_at = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
            hold = holds.pause(kind, name, by=by or choosing.user(), why=why, ends_at=ends_at)
        except (ValueError, OverflowError) as error:
            raise CommandError(str(error), returncode=Exit.MISUSED) from error
        until = "somebody resumes it" if ends_at is None else times.shown(ends_at)
        self.stdout.write(f"The {hold.what} is paused until {until}. Workers follow within two seconds.")
