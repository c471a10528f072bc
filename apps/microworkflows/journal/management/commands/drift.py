"""``manage.py drift``: compare the edges that contexts declare with those that the journal observed; fail if they differ."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import drift, times
from microworkflows.journal import observing
from microworkflows.journal.management.arguments import a_time
from microworkflows.management.base import Exit, KitCommand, add_format


class Command(KitCommand):
    help = (
        "Name each edge of the process that was observed and not declared, or declared and never observed, from the journal's "
        "rows. Exit code 1 if there are any."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", type=a_time, help="in flows since this time; by default the last 24 hours"
        )
        parser.add_argument(
            "--allow",
            action="append",
            default=[],
            metavar="EDGE",
            help="an edge, by its name, that may differ; repeatable; an error if it does not",
        )
        add_format(parser)

    def handle(self, *, since: datetime | None, allow: list[str], **options: Any) -> None:
        form = options["format"]
        since = since or times.aware(times.now()) - timedelta(hours=24)
        if not observing.has_flows(since=since):
            raise CommandError(
                f"The journal has no flow since {since:%Y-%m-%d %H:%M %Z}, so nothing was observed. Name an earlier --since, "
                "or see that a relay collects the notices.",
                returncode=Exit.UNKNOWN,
            )
        found = drift.compare(
            declared=observing.declared(), observed=observing.observed(since=since), allowed=allow
        )
        if form == "json":
            self.stdout.write(json.dumps(asdict(found), indent=2))
        else:
            for line in found.lines():
                self.stdout.write(line)
        if found:
            raise CommandError("The process differs from what is declared.")
        if form == "text":
            self.stdout.write("The process is as declared.")
