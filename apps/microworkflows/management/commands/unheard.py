"""``manage.py unheard``: counts events that were relayed when no queue was bound to their type, and relays them again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Count

from microworkflows import texts
from microworkflows.models import OutboxEvent


class Command(BaseCommand):
    help = "Count unheard events by type; with --relay, relay them again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("types", nargs="*", help="types of events; by default all")
        parser.add_argument(
            "--relay", action="store_true", help="relay them again, now that a queue is bound"
        )

    def handle(self, *args: Any, types: list[str], relay: bool, **options: Any) -> None:
        rows = OutboxEvent.objects.unheard()
        if types:
            rows = rows.filter(destination__in=types)
        for row in rows.order_by("destination").values("destination").annotate(number=Count("pk")):
            self.stdout.write(f"{row['number']:>8}  {texts.line(row['destination'])}")
        if relay:
            self.stdout.write(f"{rows.relay_again()} events are pending again.")
