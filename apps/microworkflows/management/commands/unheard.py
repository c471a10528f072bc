"""``manage.py unheard``: counts events that were relayed when no queue was bound to their type, and relays them again."""

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count, Min

from microworkflows import texts, times
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import KitCommand, add_format
from microworkflows.models import OutboxEvent


class Command(KitCommand):
    help = "Count unheard events by type, with the age of the oldest; with --relay, relay them again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("types", nargs="*", metavar="TYPE", help="types of events; by default all")
        parser.add_argument(
            "--relay", action="store_true", help="relay them again, now that a queue is bound"
        )
        add_format(parser)

    def handle(self, *args: Any, types: list[str], relay: bool, **options: Any) -> None:
        naming.check_types(types)
        rows = OutboxEvent.objects.unheard()
        if types:
            rows = rows.filter(destination__in=types)
        counted = rows.order_by("destination").values_list("destination")
        found = [
            {"type": event_type, "number": number, "oldest_at": times.aware(oldest)}
            for event_type, number, oldest in counted.annotate(number=Count("pk"), oldest=Min("added"))
        ]
        pending = rows.relay_again() if relay else None
        if options["format"] == "json":
            self.say_json({"unheard": found, "pending_again": pending})
            return
        for each in found:
            age = human_duration(times.aware(times.now()) - each["oldest_at"])
            self.stdout.write(f"{each['number']:>8}  {texts.line(each['type'])}  the oldest {age} old")
        if pending is not None:
            self.stdout.write(f"{pending} events are pending again.")
