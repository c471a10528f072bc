"""``manage.py top``: contexts, workers, queues, rates and stuck flows on one screen, from the journal."""

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser

from microworkflows.journal import screen
from microworkflows.journal.overall import overall
from microworkflows.management.base import KitCommand

_EVERY_SECONDS = 1.0


class Command(KitCommand):
    help = (
        "Show each context's worker, relay, queue and rates, and the flows that are overdue, again each second; q or Ctrl-C ends it. "
        "It draws with rich, if that is installed (extra `top`), and prints plain text otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="look once, and end")
        parser.add_argument(
            "--format",
            choices=["text", "json"],
            default="text",
            help="json: one object a look, one a line, without --once; by default text",
        )
        parser.add_argument(
            "--stuck", type=int, default=10, metavar="NUMBER", help="overdue events named; by default 10"
        )

    def handle(self, *args: Any, once: bool, format: str, stuck: int, **options: Any) -> None:  # noqa: A002  (the option's name)
        def look() -> dict[str, Any]:
            return overall(now=datetime.now(UTC), most=stuck)

        if once:
            self._say(look(), format, indent=2)
            return
        with suppress(KeyboardInterrupt):
            if format == "text" and screen.can_draw():
                screen.live(look, every=_EVERY_SECONDS)
                return
            while True:
                self._say(look(), format, indent=None)
                time.sleep(_EVERY_SECONDS)

    def _say(self, told: dict[str, Any], format: str, *, indent: int | None) -> None:  # noqa: A002  (as above)
        if format == "json":
            self.stdout.write(json.dumps(told, indent=indent))
        else:
            screen.say(told, self.stdout.write)
        self.stdout.flush()
