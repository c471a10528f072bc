"""``manage.py unreceived``: counts relayed events that a listener has not received, though the broker confirmed them."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from microworkflows import times, unreceived


class Command(BaseCommand):
    help = (
        "Count the events that were relayed and that a listener has not received, by type and listener. It sees the "
        "listeners whose inbox is in this database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--minutes", type=float, default=10.0, help="age from which an event counts; by default 10"
        )
        parser.add_argument(
            "--hours", type=float, default=24.0, help="age up to which events are looked at; by default 24"
        )

    def handle(self, *args: Any, minutes: float, hours: float, **options: Any) -> None:
        now = times.now()
        since, until = now - timedelta(hours=hours), now - timedelta(minutes=minutes)
        missing = unreceived.count(since=since, until=until)
        for (event_type, listener), number in sorted(missing.items()):
            self.stdout.write(f"{number:>8}  {event_type}  {listener}")
        self.stdout.write(f"{missing.total()} deliveries are missing.")
        if missing:
            types = " ".join(
                f"--type {event_type}" for event_type in sorted({each.event_type for each in missing})
            )
            self.stdout.write(
                "If they are not in a queue or among the dead letters, the broker lost them: "
                f"`manage.py relay --again --since {times.aware(since).isoformat(timespec='seconds')} {types}` relays them once more."
            )
