"""The inbox: each microworkflow handles each event once, in one transaction with its writes and what it emits."""

import logging
import random
import traceback
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import (
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connections,
    router,
    transaction,
)
from django.utils import timezone
from pydantic import ValidationError

from microworkflows import conf, handling, registry, together
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent
from microworkflows.stamps import MONOLITH, Mode
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)

DATABASE_DOWN = (OperationalError, InterfaceError, InternalError, ProgrammingError)
"""What :func:`receive` lets through: not even the failure could be kept, so the message must not be acked.

Out of reach, read-only after a failover, or not migrated yet: nothing of it is the message's fault.
"""


class NobodyListensError(PermanentError):
    """An event reached a context none of whose microworkflows listens to it."""


class ContextMovedError(PermanentError):
    """The monolith was to do a step of a context that has a database of its own by now."""


def receive(body: object, *, context: str, attempt: int | None = None, last_delivery: bool = False) -> None:
    """Handle a delivered CloudEvent in every microworkflow of ``context`` that listens to it.

    Each one runs in a transaction of its own: the inbox row, its writes and the events it emits commit together
    or not at all, so delivering twice changes nothing. One that fails does not touch the others: the message is
    kept with the error and retried later, or parked.

    What another does, by the flow's stamp, is skipped.

    Args:
        body: The CloudEvent as a JSON object.
        context: Label of the context whose queue it came from, or :data:`~microworkflows.stamps.MONOLITH`.
        attempt: For a redelivery, how many attempts had failed when it was sent. A waiting message is handled only
            by the redelivery of its present attempt: other copies would use its attempts up.
        last_delivery: The broker gives up on the message after this delivery, for its process died each time before.
            So it is parked instead of handled.

    Raises:
        InvalidCloudEventError: ``body`` is no CloudEvent.
        OperationalError, InterfaceError: the database is out of reach; deliver the message again.
    """
    event = CloudEvent.from_dict(body)
    if context == MONOLITH:
        _receive_by_monolith(event, attempt=attempt, last_delivery=last_delivery)
        return
    if (mode := event.meta.stamp.mode(context)) is not Mode.LIVE:
        logger.info("skipped %s: in this flow %s is %s", handling.described(event), context, mode)
        return
    workflows = registry.listeners(event.meta.type, contexts=[context])
    if not workflows:
        _keep_failure(
            context,
            event,
            NobodyListensError(
                f"No microworkflow of {context} listens to {event.meta.type}. If a newer version of its code does, "
                f"replay this message once that runs; else unbind the type from the queue {context!r}."
            ),
        )
    for workflow in workflows:
        _handle(workflow, event, attempt=attempt, last_delivery=last_delivery)


def receive_together(bodies: Sequence[object], *, context: str) -> None:
    """Handle several CloudEvents that were delivered to a context for the first time; what :func:`receive` says holds.

    As long as they are quick and none fails, they share a transaction: see :mod:`~microworkflows.together`.
    """
    steps: list[together.Step] = []
    for body in bodies:
        event = CloudEvent.from_dict(body)
        workflows = registry.listeners(event.meta.type, contexts=[context])
        if workflows and event.meta.stamp.mode(context) is Mode.LIVE:
            steps += [(workflow, event) for workflow in workflows]
        else:
            receive(body, context=context)
    together.handle(
        steps,
        alone=_handle,
        failed=lambda workflow, event, error: _keep_failure(workflow.label, event, error),
    )


def _handle(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
) -> None:
    """Handle an event in a transaction of its own; what it raises is kept with the message."""
    try:
        handling.handle(workflow, event, attempt=attempt, last_delivery=last_delivery)
    except Exception as error:
        _keep_failure(workflow.label, event, error)


def _receive_by_monolith(event: CloudEvent, *, attempt: int | None, last_delivery: bool) -> None:
    """Do the steps that the monolith does in this flow, each with all that follows inline in one transaction."""
    # Imported here: its app is installed where a monolith is being cut over, and there alone.
    from microworkflows.cutover import inline, switch

    if attempt is None and inline.was_followed(event):
        logger.info("skipped %s: its inline steps were done when it was recorded", handling.described(event))
        return
    workflows = inline.steps(event)
    if not workflows and not registry.listeners(event.meta.type, contexts=conf.current().cutover):
        _keep_failure(
            MONOLITH,
            event,
            NobodyListensError(
                f"No microworkflow of the monolith listens to {event.meta.type}. If a newer version of its code does, "
                "replay this message once that runs."
            ),
        )
    moved = switch.moved() if workflows else {}
    for workflow in workflows:
        if (there := moved.get(workflow.context)) is not None:
            _keep_failure(
                MONOLITH,
                event,
                ContextMovedError(
                    f"In this flow the monolith was to do {workflow.label}, but {workflow.context} works in {there} by "
                    "now, and what it has here is old. Move it back, replay this message, and move it again."
                ),
            )
            continue
        try:
            with transaction.atomic(using=router.db_for_write(InboxEvent)):
                inline.do(workflow, event, attempt=attempt, last_delivery=last_delivery)
        except Exception as error:
            _keep_failure(workflow.label, event, error, mode=event.meta.stamp.mode(workflow.context))


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait after so many failed attempts: exponential backoff with jitter."""
    settings = conf.current()
    longest = min(settings.retry_delay * 2 ** min(attempts - 1, 32), settings.retry_max_delay)
    return timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)


def _keep_failure(label: str, event: CloudEvent, error: Exception, *, mode: Mode = Mode.LIVE) -> None:
    """Keep the message with its error for the next attempt, or park it."""
    connection = connections[router.db_for_write(InboxEvent)]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    now = timezone.now()
    with transaction.atomic(using=connection.alias):
        handling.insert([(label, event)], status=InboxEvent.Status.WAITING, mode=mode)
        row = handling.locked(label, event)
        if row.status == InboxEvent.Status.HANDLED:
            logger.error(
                "handled %s by %s, but what was to follow its commit failed",
                handling.described(event),
                label,
                exc_info=error,
            )
            return
        row.retry += 1
        permanent = isinstance(error, PermanentError | ValidationError)
        parked = permanent or row.retry >= conf.current().max_attempts
        row.status = InboxEvent.Status.PARKED if parked else InboxEvent.Status.WAITING
        row.expires_at = now if parked else now + retry_delay(row.retry)
        row.headers = {
            **(row.headers or {}),
            "error": handling.storable(f"{type(error).__name__}: {error}"),
            "traceback": handling.storable("".join(traceback.format_exception(error))),
            "failed_at": now.isoformat(),
            "permanent": permanent,
        }
        row.save(update_fields=["retry", "status", "expires_at", "headers"])
    if parked:
        logger.error("parked %s in %s: %s: %s", handling.described(event), label, type(error).__name__, error)
    else:
        logger.warning(
            "retry %s by %s after attempt %d, due %s: %s: %s",
            *(
                handling.described(event),
                label,
                row.retry,
                row.expires_at.isoformat(),
                type(error).__name__,
                error,
            ),
        )
