"""``manage.py parked``: the parked messages of the inbox, and those that wait for another attempt."""

from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from microworkflows import texts
from microworkflows.models import InboxEvent


class Command(BaseCommand):
    help = "List parked messages, oldest first: inbox id, microworkflow, event and error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contexts", nargs="*", help="labels of contexts; by default all")
        parser.add_argument(
            "--waiting", action="store_true", help="also list messages that wait for another attempt"
        )

    def handle(self, *args: Any, contexts: list[str], waiting: bool, **options: Any) -> None:
        wanted = [InboxEvent.objects.parked()]
        if waiting:
            wanted.append(InboxEvent.objects.waiting())
        listed = 0
        for row in chain.from_iterable(rows.defer("body").iterator() for rows in wanted):
            if not contexts or row.context in contexts:
                status = InboxEvent.Status(row.status).label
                shown = f"{status}  {row.label}  {row.type} {row.event_id}  {row.error}"
                self.stdout.write(f"{row.pk}  {texts.line(shown)}")
                listed += 1
        self.stdout.write(f"{listed} messages. `manage.py replay ID …` tries them again.")
