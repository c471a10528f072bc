"""``manage.py problems``: what failed, by cause."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from microworkflows import texts
from microworkflows.problems import groups, replays


class Command(BaseCommand):
    help = (
        "List the causes for which messages wait or are parked, those with the most messages first: fingerprint, number of "
        "messages, microworkflow, error, whom it is assigned to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contexts", nargs="*", help="labels of contexts; by default all")
        parser.add_argument(
            "--format", choices=["text", "json"], default="text", help="by default text; json: one array"
        )

    def handle(self, *args: Any, contexts: list[str], **options: Any) -> None:
        found = groups.overview(contexts=contexts)
        if options["format"] == "json":
            self.stdout.write(
                json.dumps([_told(each) for each in found.groups], cls=DjangoJSONEncoder, indent=2)
            )
            return
        for each in found.groups:
            assigned = f"  assigned to {each.assigned_to}" if each.assigned_to else ""
            shown = f"{each.parked} parked, {each.waiting} waiting  {each.label}  {each.error}{assigned}"
            self.stdout.write(f"{each.fingerprint or 'unknown':<12}  {texts.line(shown)}")
            if each.replay:
                done = replays.progress(each.replay)
                self.stdout.write(f"  replay by {each.replay.by}: {done.settled} of {done.total} settled")
        if rest := found.number - len(found.groups):
            self.stdout.write(f"and {rest} problems with fewer messages.")
        self.stdout.write(
            f"{found.number} problems, {found.parked} parked and {found.waiting} waiting messages. "
            "`manage.py replay --problem FINGERPRINT` tries those of one again."
        )


def _told(group: groups.Group) -> dict[str, Any]:
    replay = group.replay and {"by": group.replay.by, **asdict(replays.progress(group.replay))}
    fields = {name: getattr(group, name) for name in _FIELDS}
    return {**fields, "examples": [asdict(each) for each in group.examples], "replay": replay}


_FIELDS = (
    *("fingerprint", "parked", "waiting", "label", "error"),
    *("first_at", "last_at", "trend", "assigned_to"),
)
