"""``manage.py journal_collect``: collects by itself, where no relay does; or brings the past into the journal."""

import logging
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from microworkflows import times
from microworkflows.journal import collecting, conf, filling
from microworkflows.journal.management.arguments import a_time
from microworkflows.journal.writing import Memory
from microworkflows.management.base import KitCommand

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 5.0


class Command(KitCommand):
    help = "Collect the notices of all services into the journal, or fill it from the tables within reach."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fill", action="store_true", help="read outbox and inbox of each database within reach, and end"
        )
        parser.add_argument(
            "--since",
            type=a_time,
            help="for --fill: the time from which on, such as 2026-01-31T12:00+01:00; by default as long as the journal keeps flows",
        )

    def handle(self, *args: Any, fill: bool, since: datetime | None, **options: Any) -> None:
        if fill:
            self._fill(since or datetime.now(UTC) - timedelta(days=conf.current().journal_retention_days))
            return
        if since:
            raise CommandError("--since belongs to --fill.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            try:
                collecting.collect(stop)
            except Exception:
                logger.exception("the collector failed and begins anew; the notices wait")
            stop.wait(_PAUSE_SECONDS)

    def _fill(self, since: datetime) -> None:
        memory = Memory()
        for alias in filling.sources():
            number = filling.fill(memory, alias=alias, since=since, until=datetime.now(UTC))
            self.stdout.write(f"{alias}: {number} rows since {times.shown(since)} are in the journal.")
