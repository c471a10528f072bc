"""``manage.py parked``: the parked messages of the inbox, and those that wait for another attempt."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from microworkflows import texts, times
from microworkflows.cloudevents import KEY, NAME
from microworkflows.journeys import human_duration
from microworkflows.management import naming
from microworkflows.management.base import KitCommand, add_format
from microworkflows.models import InboxEvent


class Command(KitCommand):
    help = "List parked messages, oldest first: inbox id, microworkflow, event, age, what its flow is about, and error."

    def add_arguments(self, parser: CommandParser) -> None:
        naming.add_contexts(parser)
        parser.add_argument(
            "--waiting", action="store_true", help="also list messages that wait for another attempt"
        )
        parser.add_argument(
            "--about", metavar="NAME", help="only those of flows about the object with this name or key"
        )
        parser.add_argument(
            "--problem", metavar="FINGERPRINT", help="only those whose last failure has this fingerprint"
        )
        parser.add_argument(
            "--microworkflow", metavar="LABEL", help="only those of this microworkflow, which may be gone"
        )
        add_format(parser)

    def handle(self, *args: Any, contexts: list[str], **options: Any) -> None:
        naming.check_contexts_with_rows(contexts)
        naming.check_workflows([options["microworkflow"]] if options["microworkflow"] else [])
        rows = (row for row in _rows(**options) if not contexts or row.context in contexts)
        if options["format"] == "json":
            self.say_json([_plain(row) for row in rows])
            return
        listed = 0
        for listed, row in enumerate(rows, start=1):  # noqa: B007  (their number)
            named = f" about {row.about}" if row.about else ""
            age = human_duration(times.aware(times.now()) - row.received_at)
            status = InboxEvent.Status(row.status).label
            shown = f"{status}  {row.label}  {row.type} {row.event_id}{named}  {age} old  {row.error}"
            self.stdout.write(f"{row.pk}  {texts.line(shown)}")
        self.stdout.write(f"{listed} messages. `manage.py replay ID …` tries them again.")


def _rows(
    *, waiting: bool, about: str | None, problem: str | None, microworkflow: str | None, **_: Any
) -> Iterator[Any]:
    for rows in (InboxEvent.objects.parked(), *([InboxEvent.objects.waiting()] if waiting else [])):
        selected = rows if about is None else rows.about(about)
        selected = selected if problem is None else selected.of_problem(problem)
        selected = selected if microworkflow is None else selected.of_workflow(microworkflow)
        # The body is read in part, since it may be large.
        title = Coalesce(KT(f"body__{NAME}"), KT(f"body__{KEY}"))
        yield from selected.annotate(about=title).defer("body").iterator()


def _plain(row: Any) -> dict[str, Any]:
    return {
        "id": row.pk,
        "status": InboxEvent.Status(row.status).label,
        "microworkflow": row.label,
        "type": row.type,
        "event": row.event_id,
        "about": row.about,
        "received_at": row.received_at,
        "attempts": row.attempts,
        "error": row.error,
        "problem": row.fingerprint,
    }
