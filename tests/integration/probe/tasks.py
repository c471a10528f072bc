"""Celery tasks of the project's own: one that may run, on its own queue, and nothing of the kit's."""

from pathlib import Path

from celery import shared_task


@shared_task(name="probe.write")
def write(file: str, text: str) -> None:
    Path(file).write_text(text)
