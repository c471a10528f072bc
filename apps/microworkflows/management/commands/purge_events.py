"""``manage.py purge_events``: deletes old rows that are done; those of unfinished flows stay."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from microworkflows.management.base import KitCommand
from microworkflows.purging import purge


class Command(KitCommand):
    help = (
        "Delete relayed events and handled messages beyond their retention, in small transactions. All rows of a flow stay in "
        "which an event is pending, scheduled, unheard, rejected or not received, or a message waits or is parked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=float,
            help="age in days of every row; by default each type's retention, else MICROWORKFLOWS['RETENTION_DAYS']",
        )
        parser.add_argument(
            "--although-unreceived",
            action="store_true",
            help="do not spare a flow because a listener has not received an event, as when the broker lost it",
        )

    def handle(self, *args: Any, days: float | None, although_unreceived: bool, **options: Any) -> None:
        purged = purge(
            now=datetime.now(UTC),
            age=None if days is None else timedelta(days=days),
            although_unreceived=although_unreceived,
        )
        self.stdout.write(f"Deleted {purged.outbox} relayed events and {purged.inbox} handled messages.")
        for what, count in {
            "entries of history": purged.history,
            "heartbeats of workers": purged.heartbeats,
            "pauses that are over": purged.holds,
            **purged.guests,
        }.items():
            if count:
                self.stdout.write(f"Deleted {count} {what}.")
        if purged.spared:
            self.stdout.write(f"Left {purged.spared} older rows, because their flows are unfinished.")
