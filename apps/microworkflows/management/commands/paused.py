"""``manage.py paused``: what is paused, since when, until when, by whom, why, and how much waits."""

from typing import Any

from django.core.management.base import CommandParser

from microworkflows import holds, texts, times
from microworkflows.journeys import human_duration
from microworkflows.management.base import KitCommand, add_format
from microworkflows.models import Hold


class Command(KitCommand):
    help = "List what is paused, oldest first: since when, until when, by whom, why, and the number of messages that wait."

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        found = holds.in_force()
        if options["format"] == "json":
            self.say_json([_plain(hold) for hold in found])
            return
        for hold in found:
            age = human_duration(times.aware(times.now()) - times.aware(hold.began_at))
            ends_at = hold.ends_at and times.shown(hold.ends_at)
            until = f"until {ends_at}" if ends_at else "until somebody resumes it"
            shown = f"{hold.what}  {age}  {until}  {holds.waiting(hold)} wait  by {hold.by}: {hold.why}"
            self.stdout.write(texts.line(shown))
        self.stdout.write(f"{len(found)} paused. `manage.py resume NAME` lets one go on.")


def _plain(hold: Hold) -> dict[str, Any]:
    return {
        "kind": Hold.Kind(hold.kind).label,
        "name": hold.name,
        "began_at": hold.began_at,
        "ends_at": hold.ends_at,
        "by": hold.by,
        "why": hold.why,
        "waiting": holds.waiting(hold),
    }
