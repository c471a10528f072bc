"""``python -m django probe_record``: one of several processes that record events side by side."""

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from microworkflows import Later, Subject, outbox
from tests.integration.probe.events import Asked, Noted


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("recorder")
        parser.add_argument("--count", type=int, required=True)
        parser.add_argument("--pause", type=float, default=0.0)
        parser.add_argument("--later", type=float, default=0.0)
        parser.add_argument("--behaviour", default="ok")
        parser.add_argument("--type", default="asked", choices=["asked", "noted"])

    def handle(
        self,
        *args: Any,
        recorder: str,
        count: int,
        pause: float,
        later: float,
        behaviour: str,
        type: str,
        **options: Any,
    ) -> None:
        for number in range(count):
            with transaction.atomic():
                if type == "noted":
                    outbox.record(Noted(number=number))
                else:
                    about = Subject(kind="question", key=f"{recorder}-{number}", name=f"Q-{number:06d}")
                    asked = Asked(number=number, recorder=recorder, behaviour=behaviour)
                    outbox.record(Later(asked, timedelta(seconds=later)) if later else asked, about=about)
            time.sleep(pause)
