"""``manage.py journey``: the journey of a flow in the terminal, across services where a guest such as the journal knows it."""

import json
import shutil
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import accounts, times
from microworkflows.management import waterfalls
from microworkflows.management.base import Exit, KitCommand, add_format


class Command(KitCommand):
    help = (
        "Show the journey of a flow: what happened, what is still expected, and what stands in the way. Across services "
        "with the journal installed, else from this database's outbox and inbox."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "flow", help="name or key of what it is about, such as A-000123, or its correlation id"
        )
        add_format(parser)

    def handle(self, *args: Any, flow: str, **options: Any) -> None:
        account = accounts.account(flow)
        if account is None:
            raise CommandError(
                f"No flow about {flow!r}, and none with this id, is known here. Ask the service in which it began, or "
                "the one that keeps the journal.",
                returncode=Exit.MISUSED,
            )
        if options["format"] == "json":
            self.stdout.write(json.dumps(account.plain, indent=2, ensure_ascii=False))
            return
        width = shutil.get_terminal_size((100, 24)).columns
        for line in waterfalls.rendered(account, width=width, now=times.aware(times.now())):
            self.stdout.write(line)
