"""``manage.py probe_send``: sends bare Celery tasks for the measured step."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from benchmarks.bare import app
from benchmarks.probe.events import measured
from benchmarks.probe.models import Item
from benchmarks.probe.tasks import bare


class Command(BaseCommand):
    help = "Add the rows that the measured step changes, and send a task for each."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("count", type=int)

    def handle(self, *args: Any, count: int, **options: Any) -> None:
        Item.objects.bulk_create([Item(number=number) for number in range(count)], batch_size=5000)
        with app.producer_pool.acquire() as producer:
            for number in range(count):
                event = measured(number)
                bare.apply_async(
                    args=(event.number, event.marker, event.filler), queue="bare", producer=producer
                )
        self.stdout.write(f"sent {count}")
