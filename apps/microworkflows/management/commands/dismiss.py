"""``manage.py dismiss``: gives parked messages up, with the reason why nobody needs them handled."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows.management import choosing
from microworkflows.management.base import Exit, KitCommand
from microworkflows.models import InboxEvent

_STATUSES = (InboxEvent.Status.PARKED, InboxEvent.Status.WAITING)


class Command(KitCommand):
    help = (
        "Give parked messages up, as `manage.py replay` chooses them: they are never handled, unless somebody replays them "
        "by their ids. An id may also be that of a waiting message, and --waiting takes those that wait, too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        choosing.add_arguments(parser)
        parser.add_argument("--waiting", action="store_true", help="also those that wait for another attempt")
        parser.add_argument("--why", required=True, help="the reason, for the history")

    def handle(self, *args: Any, by: str | None, why: str, **options: Any) -> None:
        if not why.strip():
            raise CommandError(
                "--why is empty: give the reason why nobody needs these messages handled.",
                returncode=Exit.MISUSED,
            )
        rows, number = choosing.chosen(options, statuses=_STATUSES, done="dismissed")
        dismissed = rows.dismiss(by=by or choosing.user(), why=why)
        self.stdout.write(f"{dismissed} messages were dismissed.")
        if left := number - dismissed:
            self.stdout.write(f"{left} were left alone, because someone else has them in hand; look again.")
