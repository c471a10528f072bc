"""Celery tasks of the project's own, on queues of their own, and nothing of the kit's."""

from pathlib import Path
from typing import Any

from celery import shared_task


@shared_task(name="probe.write")
def write(file: str, text: str) -> None:
    Path(file).write_text(text)


@shared_task(name="probe.write_later")
def write_later(file: str, text: str) -> None:
    """Send from inside the worker, where Celery knows of the contexts' queues."""
    write.apply_async((file, text), countdown=1)


@shared_task(name="probe.write_at_second_try", bind=True)
def write_at_second_try(self: Any, file: str, text: str) -> None:
    if not self.request.retries:
        raise self.retry(countdown=1)
    write(file, text)
