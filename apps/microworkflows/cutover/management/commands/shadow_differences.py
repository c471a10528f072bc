"""``manage.py shadow_differences``: prints the differences of shadow runs and legacy steps, one JSON object a line."""

import json
from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from microworkflows import registry, times
from microworkflows.cutover import exporting
from microworkflows.cutover.models import ShadowComparison
from microworkflows.management import naming
from microworkflows.management.base import KitCommand


def _time(text: str) -> datetime:
    try:
        day = parse_date(text)
        time = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001  (made aware below)
    except ValueError as error:
        raise ArgumentTypeError(f"{text}: {error}") from error
    if time is None:
        raise ArgumentTypeError(
            f"{text} is not a time in ISO 8601, such as 2026-03-01 or 2026-03-01T14:00:00+01:00."
        )
    return times.stored(time)


class Command(KitCommand):
    help = "Print the shadow comparisons that did not agree, oldest first, as JSON: one object a line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workflow", metavar="LABEL", help="only of this microworkflow")
        parser.add_argument("--since", type=_time, metavar="TIME", help="only from this time on, in ISO 8601")

    def handle(self, *args: Any, workflow: str | None, since: datetime | None, **options: Any) -> None:
        rows = ShadowComparison.objects.exclude(outcome=ShadowComparison.Outcome.AGREED).order_by("pk")
        if workflow is not None:
            known = {each.label for each in registry.workflows()}
            if workflow not in known and not ShadowComparison.objects.filter(workflow=workflow).exists():
                naming.check("microworkflow", [workflow], known)
            rows = rows.filter(workflow=workflow)
        if since is not None:
            rows = rows.filter(compared_at__gte=since)
        for row in rows.iterator():
            self.stdout.write(json.dumps(exporting.plain(row), ensure_ascii=False))
