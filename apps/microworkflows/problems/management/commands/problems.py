"""``manage.py problems``: what failed, by cause."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from microworkflows import texts, times
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import KitCommand, add_format
from microworkflows.problems import groups, replays


class Command(KitCommand):
    help = (
        "List the causes for which messages wait or are parked, those with the most messages first: fingerprint, number of "
        "messages, microworkflow, error, whom it is assigned to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        naming.add_contexts(parser)
        add_format(parser)

    def handle(self, *args: Any, contexts: list[str], **options: Any) -> None:
        naming.check_contexts_with_rows(contexts)
        found = groups.overview(contexts=contexts)
        if options["format"] == "json":
            self.say_json([_told(each) for each in found.groups])
            return
        for each in found.groups:
            assigned = f"  assigned to {each.assigned_to}" if each.assigned_to else ""
            age = (
                f"{human_duration(times.aware(times.now()) - times.aware(each.last_at))} old"
                if each.last_at
                else "of unknown age"
            )
            shown = f"{each.parked} parked, {each.waiting} waiting, the last {age}  {each.label}  {each.error}{assigned}"
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
