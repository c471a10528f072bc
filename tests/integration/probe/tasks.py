"""Celery tasks of the project's own, on queues of their own, and nothing of the kit's."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection

from tests.integration.probe import behaviours, limits


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


@shared_task(name="probe.ask_database")
def ask_database(file: str, statement: str) -> None:
    """Write down what the database answers, and which process asked in which session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (session,) = cursor.fetchone()
        cursor.execute(statement)
        write(file, f"{os.getpid()} {session} {cursor.fetchone()[0]}")


@shared_task(name="probe.ask_too_much", soft_time_limit=1)
def ask_too_much(file: str, statement: str) -> None:
    try:
        ask_database(file, statement)
    except SoftTimeLimitExceeded:
        write(file, "it took too long")
        raise


@shared_task(name="probe.note_limits")
def note_limits(file: str) -> None:
    write(file, limits.of_this_session())


@shared_task(name="probe.hold")
def hold(file: str) -> None:
    """Wait, having made this file, until the test makes a second one."""
    behaviours.hold(SimpleNamespace(file=file))  # type: ignore[arg-type]
