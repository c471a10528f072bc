"""``manage.py replay``: tries parked messages again, once the cause of their failure is mended."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from microworkflows.models import InboxEvent


class Command(BaseCommand):
    help = "Try parked messages again: by inbox id (see `manage.py parked`), by context, by what their flow is about, or all."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("ids", nargs="*", type=UUID, default=[], help="inbox ids")
        which.add_argument("--context", help="every parked message of this context")
        which.add_argument(
            "--about", metavar="NAME", help="every one of flows about the object with this name or key"
        )
        which.add_argument("--all", action="store_true", help="every parked message")

    def handle(
        self, *args: Any, ids: list[UUID], context: str | None, about: str | None, **options: Any
    ) -> None:
        rows = InboxEvent.objects.parked()
        if ids:
            rows = rows.filter(pk__in=ids)
            missing = set(ids) - set(rows.values_list("pk", flat=True))
            if missing:
                raise CommandError(
                    f"Not parked: {', '.join(map(str, sorted(missing)))}. Nothing was replayed."
                )
        elif context is not None:
            rows = rows.of_context(context)
        elif about is not None:
            rows = rows.about(about)
        selected = rows.count()
        replayed = rows.replay()
        self.stdout.write(f"{replayed} messages are due now; the relay of their context redelivers them.")
        if left := selected - replayed:
            self.stdout.write(f"{left} were left alone, because someone else has them in hand; look again.")
