"""``manage.py parked``: the parked messages of the inbox, and those that wait for another attempt."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from microworkflows import texts
from microworkflows.cloudevents import KEY, NAME
from microworkflows.models import InboxEvent


class Command(BaseCommand):
    help = "List parked messages, oldest first: inbox id, microworkflow, event, what its flow is about, and error."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("contexts", nargs="*", help="labels of contexts; by default all")
        parser.add_argument(
            "--waiting", action="store_true", help="also list messages that wait for another attempt"
        )
        parser.add_argument(
            "--about", metavar="NAME", help="only those of flows about the object with this name or key"
        )

        parser.add_argument(
            "--problem", metavar="FINGERPRINT", help="only those whose last failure has this fingerprint"
        )

    def handle(
        self,
        *args: Any,
        contexts: list[str],
        waiting: bool,
        about: str | None,
        problem: str | None,
        **options: Any,
    ) -> None:
        wanted = [InboxEvent.objects.parked()]
        if waiting:
            wanted.append(InboxEvent.objects.waiting())
        listed = 0
        # The body is read in part, since it may be large.
        title = Coalesce(KT(f"body__{NAME}"), KT(f"body__{KEY}"))
        for rows in wanted:
            selected = rows if about is None else rows.about(about)
            selected = selected if problem is None else selected.of_problem(problem)
            for row in selected.annotate(about=title).defer("body").iterator():
                if not contexts or row.context in contexts:
                    status = InboxEvent.Status(row.status).label
                    named = f" about {row.about}" if row.about else ""
                    shown = f"{status}  {row.label}  {row.type} {row.event_id}{named}  {row.error}"
                    self.stdout.write(f"{row.pk}  {texts.line(shown)}")
                    listed += 1
        self.stdout.write(f"{listed} messages. `manage.py replay ID …` tries them again.")
