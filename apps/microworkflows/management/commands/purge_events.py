"""``manage.py purge_events``: deletes old rows that are done; pending, unheard, rejected, waiting and parked ones stay."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from microworkflows import conf, times
from microworkflows.purging import purge


class Command(BaseCommand):
    help = "Delete relayed events and handled messages beyond their retention, in small transactions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=float, help="age in days; by default MICROWORKFLOWS['RETENTION_DAYS']"
        )

    def handle(self, *args: Any, days: float | None, **options: Any) -> None:
        age = timedelta(days=conf.current().retention_days if days is None else days)
        purged = purge(before=times.now() - age)
        self.stdout.write(f"Deleted {purged.outbox} relayed events and {purged.inbox} handled messages.")
        for what, count in {
            "entries of history": purged.history,
            "heartbeats of workers": purged.heartbeats,
            **purged.guests,
        }.items():
            if count:
                self.stdout.write(f"Deleted {count} {what}.")
