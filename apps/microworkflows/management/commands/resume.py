"""``manage.py resume``: let a paused context, microworkflow or flow go on."""

from typing import Any

from django.core.management.base import CommandParser

from microworkflows import holds
from microworkflows.management import choosing, holding
from microworkflows.management.base import KitCommand


class Command(KitCommand):
    help = (
        "Resume what `manage.py pause` holds back. What waits comes back in the order in which it came, few at first and "
        "then more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        holding.add_arguments(parser)
        parser.add_argument("--by", help="name for the record; by default the user who runs this")

    def handle(self, *args: Any, by: str | None, **options: Any) -> None:
        kind, name = holding.chosen(options)
        hold = holds.resume(kind, name, by=by or choosing.user())
        self.stdout.write(f"The {hold.what} is resumed. {holds.waiting(hold)} messages wait for their turn.")
