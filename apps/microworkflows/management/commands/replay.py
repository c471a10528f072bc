"""``manage.py replay``: tries parked messages again, once the cause of their failure is mended."""

from typing import Any

from django.core.management.base import CommandParser

from microworkflows.management import choosing
from microworkflows.management.base import KitCommand
from microworkflows.models import InboxEvent

_STATUSES = (InboxEvent.Status.PARKED, InboxEvent.Status.DISMISSED)


class Command(KitCommand):
    help = (
        "Try parked messages again: by inbox id (see `manage.py parked`), by context, by what their flow is about, by the "
        "fingerprint of their failure, or all. An id may also be that of a dismissed message."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        choosing.add_arguments(parser)
        parser.add_argument("--why", default="", help="the reason, for the history")

    def handle(self, *args: Any, by: str | None, why: str, **options: Any) -> None:
        rows, number = choosing.chosen(options, statuses=_STATUSES, done="replayed")
        replayed = rows.replay(by=by or choosing.user(), why=why)
        self.stdout.write(f"{replayed} messages are due now; the relay of their context redelivers them.")
        if left := number - replayed:
            self.stdout.write(f"{left} were left alone, because someone else has them in hand; look again.")
