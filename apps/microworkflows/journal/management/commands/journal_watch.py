"""``manage.py journal_watch``: watches the flows in the journal, where no collector does, or beside it."""

import logging
import signal
import threading
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db import OperationalError, close_old_connections

from microworkflows.journal import watcher
from microworkflows.management.base import KitCommand

logger = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0
_AFTER_FAILURE_SECONDS = 5.0


class Command(KitCommand):
    help = (
        "Raise an alarm for each event that does not come in time, and close it when it comes. The collector does the same; to "
        "watch elsewhere too is safe, and finds out when the collector's machine is gone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="look once, say what was found, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            found = watcher.watch(datetime.now(UTC))
            self.stdout.write(
                f"{found.raised} alarms raised, {found.closed} closed; of {found.held} events nobody can tell."
            )
            if found.told_until is None:
                self.stderr.write(
                    "The journal has heard from nobody in the last minute: nothing was judged. Does the collector run?"
                )
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        wait = 0.0
        while not stop.wait(wait):
            close_old_connections()
            try:
                watcher.watch(datetime.now(UTC))
                wait = _EVERY_SECONDS
            except OperationalError as error:
                logger.warning("could not look into the journal, and tries again: %s", error)
                wait = _AFTER_FAILURE_SECONDS
