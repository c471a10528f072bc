"""The one task that every event comes in by."""

import logging
import time
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import close_old_connections

from microworkflows import inbox
from microworkflows.worker.serializer import TASK

logger = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 10.0
_NEVER_ACKED: Any = {"acks_on_failure": False, "acks_on_timeout": False}
"""Celery's own settings would win over ``acks_on_failure_or_timeout``; the stubs do not know these two yet."""


@shared_task(
    name=TASK,
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
    ignore_result=True,
    **_NEVER_ACKED,
)
def receive(event: dict[str, Any], *, context: str, attempt: int | None = None) -> None:
    """Receive a CloudEvent into the inbox of a context; acked when that is done.

    While the database is out of reach nothing is acked: the message waits here, and with it the queue. What fails
    otherwise than in a microworkflow goes to the context's dead letters.
    """
    wait = 0.5
    while True:
        try:
            try:
                close_old_connections()
                return inbox.receive(event, context=context, attempt=attempt)
            except inbox.DATABASE_DOWN as error:
                logger.warning(
                    "database out of reach, waits %.1f s with %s %s: %s",
                    wait,
                    event["type"],
                    event["id"],
                    error,
                )
                time.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        except (
            SoftTimeLimitExceeded
        ):  # in a microworkflow it is kept as any failure; here it would cost the message
            logger.warning("waits on for the database with %s %s", event["type"], event["id"])
