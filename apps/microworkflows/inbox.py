"""The inbox: each microworkflow handles each event once, in one transaction with its writes and emitted events."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from microworkflows import bundling, failures, flows, handling, logs, registry
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError, UnreadableMarkError
from microworkflows.models import InboxEvent, message_id
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)


class NobodyListensError(PermanentError):
    """An event reached a context that has no microworkflow for it."""


def receive(body: object, *, queue: str, attempt: int | None = None, last_delivery: bool = False) -> None:
    """Handle a delivered CloudEvent in every microworkflow that listens to it in the context of a queue.

    Each one runs in its own transaction: the inbox row, its writes and the events it emits commit together or not at
    all, so a second delivery changes nothing. A failure does not touch the others: the message is kept with the
    error and retried later, or parked.

    An event is skipped if, by the flow's mark, others do the context's steps. The router handles what comes by its
    own queues.

    Args:
        body: The CloudEvent as a JSON object.
        queue: The queue that it came by: a context's label, or one of the router's.
        attempt: For a redelivery, the number of attempts that had failed when it was sent. A waiting message is
            handled only by the redelivery of its present attempt: other copies would use its attempts up.
        last_delivery: True if the broker gives up on the message after this delivery, because its process died at
            each one before. It is then parked instead of handled.

    Raises:
        InvalidCloudEventError: ``body`` is not a CloudEvent.
        Error: the database is out of reach, or takes no writes; deliver the message again.
        UnkeepableError: the message failed, and cannot be kept either; it belongs to the dead letters.
    """
    event = _as_kept(CloudEvent.from_dict(body))
    if queue in flows.router.queues():
        try:
            flows.router.receive(event, queue=queue, attempt=attempt, last_delivery=last_delivery)
        except UnreadableMarkError as error:
            failures.keep(queue, event, error)
        return
    for workflow in _consumers(event, context=queue, attempt=attempt):
        failures.handle_or_keep(workflow, event, attempt=attempt, last_delivery=last_delivery)


def receive_bundle(bodies: Sequence[object], *, queue: str) -> None:
    """Handle several CloudEvents delivered to a context for the first time, each as :func:`receive` does.

    They share a transaction while they are quick and none fails: see :mod:`~microworkflows.bundling`.
    """
    events = (_as_kept(CloudEvent.from_dict(body)) for body in bodies)
    bundling.handle((workflow, event) for event in events for workflow in _consumers(event, context=queue))


def _as_kept(event: CloudEvent) -> CloudEvent:
    """Return an event under the id by which the inbox has it: kit 0.1 gave another to some that are not a context's."""
    former = event.meta.former_id
    if former is None:
        return event
    labels = [workflow.label for workflow in registry.listeners(event.meta.type)]
    keys = [message_id(label, former) for label in (*labels, *registry.contexts())]
    if not InboxEvent.objects.filter(msg_id__in=keys, body__source=event.meta.source).exists():
        return event
    return replace(event, meta=replace(event.meta, id=former))


def _consumers(event: CloudEvent, *, context: str, attempt: int | None = None) -> list[Microworkflow[Any]]:
    """Return the microworkflows that handle an event here. If none can, keep the event with the reason."""
    workflows = registry.listeners(event.meta.type, contexts=[context])
    try:
        queue = flows.queue_for(context, event.meta.mark)
    except UnreadableMarkError as error:
        for workflow in workflows:
            _refuse(workflow, event, error, attempt=attempt)
        if not workflows:
            failures.keep(context, event, error)
        return []
    if queue != context:
        mode = flows.mode(context, event.meta.mark)
        logger.info(
            "skipped %s: in this flow %s is %s",
            *(event, context, mode),
            extra=logs.fields(event.meta, consumer=context, mode=mode),
        )
        return []
    if not workflows:
        nobody = NobodyListensError(
            f"No microworkflow of {context} listens to {event.meta.type}. If a newer version of its code does, "
            f"replay this message once that runs; else unbind the type from the queue {context!r}."
        )
        failures.keep(context, event, nobody)
    return workflows


def _refuse(
    workflow: Microworkflow[Any], event: CloudEvent, error: PermanentError, *, attempt: int | None
) -> None:
    """Keep an event that may not be handled here, with the reason, unless it was handled before."""

    def refuse(_: object) -> None:
        raise error

    handle = partial(handling.handle, workflow, event, attempt=attempt, function=refuse)
    failures.run_or_keep(handle, consumer=workflow.label, event=event)
