"""The tasks that receive events: one event, or a bundle of those that waited for the same process."""

import mmap
import time
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject, SoftTimeLimitExceeded
from celery.signals import worker_shutting_down
from django.db import Error, close_old_connections, connections

from microworkflows import celery_app, failures, handling, holds, inbox, logs
from microworkflows.worker import celery_internals, sessions
from microworkflows.worker.names import BUNDLE_TASK, TASK

logger = logs.logger(__name__)

_LONGEST_WAIT_SECONDS = 5.0
_ALIVE_SECONDS = 1.0
_asked_at = 0.0
_NEVER_ACKED: Any = {"acks_on_failure": False, "acks_on_timeout": False}
"""These two options override Celery's settings, which ``acks_on_failure_or_timeout`` does not; no stubs know them yet."""

_stopping: Any = mmap.mmap(-1, 1)
"""A byte that the worker shares with its pool's forked processes: 1 once it is told to stop."""


@worker_shutting_down.connect
def _tell_the_pool(**_: Any) -> None:
    _stopping[0] = 1


def _renew_connections() -> None:
    """Close connections that are broken or too old, as Django does at each request.

    With CONN_HEALTH_CHECKS on, a connection that answered a moment ago is not checked again.
    """
    global _asked_at
    close_old_connections()
    if (now := time.monotonic()) < _asked_at + _ALIVE_SECONDS:
        for connection in connections.all(initialized_only=True):
            connection.health_check_done = True  # type: ignore[attr-defined]  # the stubs leave it out
    else:
        _asked_at = now


class EventTask(Task):  # type: ignore[type-arg]  # it takes no arguments at run time
    """A task of the kit's, which ``task_annotations`` for all tasks (``*``) leave as it is: an early ack would lose events."""

    @classmethod
    def annotate(cls) -> None:
        """Annotate nothing."""


_OPTIONS: Any = {
    "base": EventTask,
    "acks_late": True,
    "reject_on_worker_lost": True,
    "acks_on_failure_or_timeout": False,
    "ignore_result": True,
    "Request": "microworkflows.worker.request:EventRequest",
    **_NEVER_ACKED,
}


@shared_task(name=TASK, **_OPTIONS)
def receive(
    event: dict[str, Any],
    *,
    queue: str,
    attempt: int | None = None,
    label: str | None = None,
    last_delivery: bool = False,
    killed_after: float | None = None,
) -> None:
    """Receive a CloudEvent that came by a queue into the inbox; it is acked afterwards.

    While the database is out of reach nothing is acked: the message waits here, and with it the queue; a worker that
    is told to stop gives it back. A message that the inbox cannot even keep goes to the queue's dead letters, and so does
    one that fails outside any microworkflow.

    If its process was killed by a time limit, after so many seconds, that is kept as a failed attempt.
    """

    def receive_event() -> None:
        with handling.killed_after(killed_after):
            inbox.receive(event, queue=queue, attempt=attempt, label=label, last_delivery=last_delivery)

    _outlast_the_database(receive_event, doing=f"{event['type']} {event['id']}")


@shared_task(name=BUNDLE_TASK, **_OPTIONS)
def receive_bundle(events: list[dict[str, Any]], *, queue: str) -> None:
    """Receive CloudEvents that waited for the same process, each as :func:`receive` does.

    A failure outside any microworkflow sends all of them back: each comes again alone, so that the culprit is found.
    """
    doing = f"{len(events)} messages to {queue}, the first {events[0]['type']} {events[0]['id']}"

    def one_by_one() -> None:
        for event in events:
            inbox.receive(event, queue=queue)

    try:
        _outlast_the_database(
            lambda: inbox.receive_bundle(events, queue=queue),
            again=one_by_one,  # one of them may be what the database cannot bear
            doing=doing,
        )
    except Reject:
        raise
    except Exception as error:
        logger.warning("could not receive %s in one go; each comes again alone", doing, exc_info=error)
        raise Reject(f"{type(error).__name__}: {error}", requeue=True) from error


def _outlast_the_database(
    receive: Callable[[], None], *, again: Callable[[], None] | None = None, doing: str
) -> None:
    """Receive; while the database is out of reach, wait and receive again, by another function if there is one."""
    with sessions.outside_the_pool():
        _receive_in_the_end(receive, again or receive, doing=doing)


def _receive_in_the_end(receive: Callable[[], None], again: Callable[[], None], *, doing: str) -> None:
    wait = 0.5
    while True:
        try:
            try:
                _renew_connections()
                holds.look()
                with celery_app.of_own_tasks(), failures.process_ended_by(celery_internals.ends_process):
                    return receive()
            except Error as error:
                if _stopping[0]:
                    raise Reject(
                        f"The worker stops and the database is away: {error}", requeue=True
                    ) from None
                logger.warning("database out of reach, waits %.1f s with %s: %s", wait, doing, error)
                connections.close_all()  # a session that only reads would do so for ever
                receive = again
                time.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        except (
            SoftTimeLimitExceeded
        ):  # in a microworkflow it is a failure to keep; here it would lose the message
            logger.warning("still waits for the database with %s", doing)
