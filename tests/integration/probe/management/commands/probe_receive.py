"""``python -m django probe_receive``: what a process of the pool does with messages that the worker let in."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from microworkflows.worker import tasks
from project import celery  # noqa: F401  (the tasks' app)


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("bodies", nargs="+")
        parser.add_argument("--together", action="store_true")

    def handle(self, *args: Any, bodies: list[str], together: bool, **options: Any) -> None:
        receive: Any = tasks.receive
        receive_bundle: Any = tasks.receive_bundle
        events = [json.loads(body) for body in bodies]
        if together:
            receive_bundle.apply((events,), {"queue": "probe"}, throw=True)
        else:
            for event in events:
                receive.apply((event,), {"queue": "probe"}, throw=True)
