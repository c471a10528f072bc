"""The writes of a measured step; the same for a microworkflow and for a bare Celery task."""

import time

from django.utils import timezone

from benchmarks.probe.models import Effect, Item


def write(*, number: int, marker: str) -> None:
    """Change a row and add one, by Django's ORM."""
    started = time.monotonic_ns()
    Item.objects.filter(pk=number).update(state="done", changed_at=timezone.now())
    Effect.objects.create(number=number, marker=marker, started_ns=started)
