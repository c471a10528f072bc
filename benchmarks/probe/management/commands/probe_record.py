"""``manage.py probe_record``: records events, many at once or one by one."""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from benchmarks.probe.events import measured
from benchmarks.probe.models import Item
from microworkflows import Later, outbox, topology

_BATCH = 500


class Command(BaseCommand):
    help = "Declare the topology and record events; with --pause one by one, each printed with the time of its commit, or at which it is due."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int)
        parser.add_argument("--start", type=int, default=0, help="number of the first")
        parser.add_argument("--context", default="probe")
        parser.add_argument("--pause", type=float, help="seconds between two events, more or less")
        parser.add_argument("--ahead", type=float, help="seconds until each event is due (a timer)")
        parser.add_argument(
            "--items", action="store_true", help="add the rows that the measured step changes"
        )

    def handle(
        self,
        *args: Any,
        count: int,
        start: int,
        context: str,
        pause: float | None,
        ahead: float | None,
        items: bool,
        **options: Any,
    ) -> None:
        with current_app.connection_for_write() as connection:
            topology.declare(connection.channel())
        numbers = range(start, start + count)
        if items:
            Item.objects.bulk_create([Item(number=number) for number in numbers], batch_size=5000)
        if pause is None:
            for first in range(start, start + count, _BATCH):
                batch = range(first, min(first + _BATCH, start + count))
                with transaction.atomic():
                    outbox.record_all([measured(number, context=context) for number in batch])
            self.stdout.write(f"recorded {count}")
            return
        self.stdout.write("recording")
        self.stdout.flush()
        for number in numbers:
            event = measured(number, context=context)
            due = None if ahead is None else datetime.now(UTC) + timedelta(seconds=ahead)
            with transaction.atomic():
                outbox.record(event if due is None else Later(event, due))
            wait = timedelta() if due is None else due - datetime.now(UTC)
            self.stdout.write(f"{event.marker} {time.monotonic_ns() + int(wait.total_seconds() * 1e9)}")
            self.stdout.flush()
            time.sleep(pause * random.uniform(0.5, 1.5))
