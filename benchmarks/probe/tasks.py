"""The measured step as a bare Celery task: no inbox, no outbox."""

from celery import shared_task
from django.db import transaction

from benchmarks.probe import operations


@shared_task(name="probe.bare")
def bare(number: int, marker: str, filler: str) -> None:
    """Write, in a transaction."""
    with transaction.atomic():
        operations.write(number=number, marker=marker)
