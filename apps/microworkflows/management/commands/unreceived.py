"""``manage.py unreceived``: counts relayed events that a listener has not received, though the broker confirmed them."""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser

from microworkflows import times, unreceived
from microworkflows.cloudevents import context_of
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import KitCommand, add_format


class Command(KitCommand):
    help = (
        "Count the events that were relayed and that a listener has not received, by type and listener, with the age of the "
        "oldest. It sees the listeners whose inbox is in this database."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        naming.add_contexts(parser, but="; of the listeners")
        parser.add_argument(
            "--minutes",
            type=float,
            default=unreceived.AGE / timedelta(minutes=1),
            help="age from which an event counts; by default 10",
        )
        parser.add_argument(
            "--hours",
            type=float,
            default=unreceived.SPAN / timedelta(hours=1),
            help="age up to which events are looked at; by default 24",
        )
        add_format(parser)

    def handle(self, *args: Any, contexts: list[str], minutes: float, hours: float, **options: Any) -> None:
        naming.check_contexts(contexts)
        now = times.now()
        since, until = now - timedelta(hours=hours), now - timedelta(minutes=minutes)
        missing = {
            each: found
            for each, found in sorted(unreceived.tally(since=since, until=until).items())
            if not contexts or context_of(each.listener) in contexts
        }
        untold = [each for each in unreceived.untold() if not contexts or each in contexts]
        if options["format"] == "json":
            self.say_json(
                {
                    "missing": [{**each._asdict(), **found._asdict()} for each, found in missing.items()],
                    "unknown": untold,
                }
            )
            return
        for (event_type, listener), (number, oldest_at) in missing.items():
            age = human_duration(times.aware(now) - oldest_at)
            self.stdout.write(f"{number:>8}  {event_type}  {listener}  the oldest {age} old")
        self.stdout.write(f"{sum(found.number for found in missing.values())} deliveries are missing.")
        if missing:
            self.stdout.write(
                "If they are not in a queue or among the dead letters, the broker lost them: "
                f"`{unreceived.remedy(missing, since=since)}` relays them once more."
            )
        if untold:
            self.stderr.write(
                f"Unknown for {', '.join(untold)}: no worker of theirs was seen in this database."
            )
