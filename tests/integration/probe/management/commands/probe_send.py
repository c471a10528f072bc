"""``python -m django probe_send``: sends an ordinary Celery task, as a project's own code does."""

from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("task")
        parser.add_argument("arguments", nargs="*")
        parser.add_argument("--queue", required=True)

    def handle(self, *args: Any, task: str, arguments: list[str], queue: str, **options: Any) -> None:
        current_app.send_task(task, arguments, queue=queue)
