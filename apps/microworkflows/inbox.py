"""The inbox: each microworkflow handles each event once, in one transaction with its writes and emitted events."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from microworkflows import bundling, failures, flows, handling, logs, past, registry, topology
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import (
    OtherVersionError,
    PermanentError,
    UnknownMicroworkflowError,
    UnreadableMarkError,
)
from microworkflows.models import InboxEvent, message_id
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)


class NobodyListensError(PermanentError):
    """An event reached a context that has no microworkflow for it."""


def receive(
    body: object,
    *,
    queue: str,
    attempt: int | None = None,
    label: str | None = None,
    last_delivery: bool = False,
) -> None:
    """Handle a delivered CloudEvent in every microworkflow that listens to it in the context of a queue.

    Each one runs in its own transaction: the inbox row, its writes and the events it emits commit together or not at
    all, so a second delivery changes nothing. A failure does not touch the others: the message is kept with the
    error and retried later, or parked.

    An event is skipped if, by the flow's mark, others do the context's steps, or if it is of the past and none of the context's
    microworkflows wants such events. The router handles what comes by its
    own queues.

    Args:
        body: The CloudEvent as a JSON object.
        queue: The queue that it came by: a context's label, or one of the router's.
        attempt: For a redelivery, the number of attempts that had failed when it was sent. A waiting message is
            handled only by the redelivery of its present attempt: other copies would use its attempts up.
        label: For a redelivery, the label of the microworkflow that is to try again: the others do not get it. Where
            nobody bears it, its failure is kept, and the event goes to those that have not received it. With None, as
            kit 0.1 redelivers, all of them get it.
        last_delivery: True if the broker gives up on the message after this delivery, because its process died at
            each one before. It is then parked instead of handled.

    Raises:
        InvalidCloudEventError: ``body`` is not a CloudEvent.
        Error: the database is out of reach, or takes no writes; deliver the message again.
        UnkeepableError: the message failed, and cannot be kept either; it belongs to the dead letters.
    """
    event = _as_kept(CloudEvent.from_dict(body), label=label)
    if label is not None and label not in (heard_by := _labels(event, queue=queue)):
        if _keep_unknown(label, event, attempt=attempt) and not heard_by:
            return
        attempt = label = None
    if queue in flows.router.queues():
        try:
            flows.router.receive(
                event, queue=queue, attempt=attempt, label=label, last_delivery=last_delivery
            )
        except UnreadableMarkError as error:
            failures.keep(label or queue, event, error, attempt=attempt)
        return
    for workflow in _consumers(event, context=queue, attempt=attempt, label=label):
        failures.handle_or_keep(workflow, event, attempt=attempt, last_delivery=last_delivery)


def receive_bundle(bodies: Sequence[object], *, queue: str) -> None:
    """Handle several CloudEvents delivered to a context for the first time, each as :func:`receive` does.

    They share a transaction while they are quick and none fails: see :mod:`~microworkflows.bundling`.
    """
    events = (_as_kept(CloudEvent.from_dict(body)) for body in bodies)
    bundling.handle((workflow, event) for event in events for workflow in _consumers(event, context=queue))


def _labels(event: CloudEvent, *, queue: str) -> list[str]:
    """Return the labels of the microworkflows that listen to an event and are done from a queue."""
    listeners = registry.listeners(event.meta.type, contexts=topology.contexts_served_by(queue))
    return [workflow.label for workflow in listeners]


def _keep_unknown(label: str, event: CloudEvent, *, attempt: int | None) -> bool:
    """Keep the failure of a message whose microworkflow this code does not know; return False if there is no such message."""
    if not InboxEvent.objects.filter(msg_id=message_id(label, event.meta.id)).exists():
        return False
    unknown = UnknownMicroworkflowError(
        f"The code of the worker that got this message has no microworkflow {label} that listens to {event.meta.type}. The "
        "event went to the microworkflows that listen now and had not received it. If other code has it, replay the "
        "message once that code alone runs."
    )
    failures.keep(label, event, unknown, attempt=attempt)
    return True


def _as_kept(event: CloudEvent, *, label: str | None = None) -> CloudEvent:
    """Return an event under the id by which the inbox has it: kit 0.1 gave another to some that are not a context's."""
    former = event.meta.former_id
    if former is None:
        return event
    labels = {workflow.label for workflow in registry.listeners(event.meta.type)} | {label or ""}
    keys = [message_id(each, former) for each in (*labels, *registry.contexts())]
    if not InboxEvent.objects.filter(msg_id__in=keys, body__source=event.meta.source).exists():
        return event
    return replace(event, meta=replace(event.meta, id=former))


def _consumers(
    event: CloudEvent, *, context: str, attempt: int | None = None, label: str | None = None
) -> list[Microworkflow[Any]]:
    """Return the microworkflows that handle an event here. If none can, keep the event with the reason."""
    listeners = registry.listeners(event.meta.type, contexts=[context])
    workflows = [workflow for workflow in listeners if label in (None, workflow.label)]
    try:
        queue = flows.queue_for(context, event.meta.mark)
    except UnreadableMarkError as error:
        for workflow in workflows:
            _refuse(workflow, event, error, attempt=attempt)
        if not workflows:
            failures.keep(context, event, error, attempt=attempt)
        return []
    wanted = [workflow for workflow in workflows if past.is_for(workflow.label, event.meta.mark)]
    if queue != context or (workflows and not wanted):
        mode = flows.mode(context, event.meta.mark)
        logger.info(
            "skipped %s: in this flow %s is %s",
            *(event, context, mode),
            extra=logs.fields(event.meta, consumer=context, mode=mode),
        )
        return []
    if not workflows and not left_to_other_version(
        event, contexts=[context], consumer=context, attempt=attempt
    ):
        nobody = NobodyListensError(
            f"No microworkflow of {context} listens to {event.meta.type}. If a newer version of its code does, "
            f"replay this message once that runs; else unbind the type from the queue {context!r}."
        )
        failures.keep(context, event, nobody, attempt=attempt)
    return wanted


def left_to_other_version(
    event: CloudEvent, *, contexts: Collection[str], consumer: str, attempt: int | None
) -> bool:
    """Return False if nobody here hears the fact in another version; else skip this one if it was received, or keep it until it was.

    While old and new code of a context run at its queue, that is bound to the versions of both.

    Args:
        event: The event, in a version that nobody listens to.
        contexts: Labels of the contexts that are done from the queue that it came by.
        consumer: Label under which it is kept.
        attempt: For a redelivery, the number of attempts that had failed when it was sent.
    """
    labels = sorted(
        {
            workflow.label
            for version in event.meta.versions
            for workflow in registry.listeners(version, contexts=contexts)
        }
    )
    if not labels:
        return False
    names = ", ".join(labels)
    if InboxEvent.objects.of_deliveries([(label, event.meta.id) for label in labels]).count() == len(labels):
        logger.info(
            "skipped %s: %s has it in another version",
            *(event, names),
            extra=logs.fields(event.meta, consumer=consumer),
        )
        return True
    other = OtherVersionError(
        f"Nobody at the queue of {consumer} listens to {event.meta.type}, and {names} to another version of the same fact, which has "
        "not been received yet. If it never comes, let code listen to both: on=[...]; then replay this message."
    )
    failures.keep(consumer, event, other, attempt=attempt)
    return True


def _refuse(
    workflow: Microworkflow[Any], event: CloudEvent, error: PermanentError, *, attempt: int | None
) -> None:
    """Keep an event that may not be handled here, with the reason, unless it was handled before."""

    def refuse(_: object) -> None:
        raise error

    handle = partial(handling.handle, workflow, event, attempt=attempt, function=refuse)
    failures.run_or_keep(handle, consumer=workflow.label, event=event, attempt=attempt)
