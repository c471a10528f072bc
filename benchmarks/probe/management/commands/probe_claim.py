"""``manage.py probe_claim``: which indexes the relay searches for its next batch, and how many pages that touches."""

import json
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from benchmarks.touching import touched
from microworkflows import conf
from microworkflows.relay import store


class Command(BaseCommand):
    help = "Claim a batch of the context probe, take it back, and print as JSON what that touched."

    def handle(self, *args: Any, **options: Any) -> None:
        limit = conf.current().relay_batch
        found = touched(lambda: store.due_events("probe", limit=limit, now=timezone.now()))
        self.stdout.write(json.dumps(found._asdict()))
