"""Inline: the monolith does the steps of a flow that are not live yet, where and when it did the direct calls."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from microworkflows import handling, registry, tracing
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import legacy_steps, shadow
from microworkflows.stamps import BY_MONOLITH, Mode
from microworkflows.workflows import Microworkflow

Step = Callable[[], list[CloudEvent]]
"""Does one step when it is called, and returns what that emitted."""


def steps(event: CloudEvent) -> list[Microworkflow[Any]]:
    """Return the microworkflows that the monolith does for this event, in this flow."""
    if not event.meta.stamp.entries:
        return []
    return [
        workflow
        for workflow in registry.listeners(event.meta.type)
        if event.meta.stamp.mode(workflow.context) in BY_MONOLITH
    ]


def was_followed(event: CloudEvent) -> bool:
    """Tell whether the monolith recorded the event, and so did its inline steps in the same transaction."""
    stamp, context = event.meta.stamp, event.meta.type.partition(".")[0]
    return event.meta.causation_id is None or stamp.mode(context) in BY_MONOLITH


def follow(recorded: Sequence[CloudEvent]) -> None:
    """Do what follows inline from events that were just recorded, and from what that emits, first come first served.

    What a live microworkflow records is left to the monolith's own worker: its transaction is another service's.
    What a step records by hand is followed at once: a savepoint that it is rolled back to takes both away.
    """
    cause = tracing.cause()
    if cause is not None and (not cause.by_monolith or cause.rehearsal is not None):
        return
    _do_all(_steps_after(recorded))


def do(
    workflow: Microworkflow[Any], event: CloudEvent, *, attempt: int | None, last_delivery: bool = False
) -> None:
    """Do one step for an event that was delivered, and all that follows from it inline.

    Inside one transaction, which the caller opens: an exception leaves nothing but rolling it back.
    """
    _do_all(deque([partial(_do, workflow, event, attempt=attempt, last_delivery=last_delivery)]))


def _do_all(coming: deque[Step]) -> None:
    while coming:
        coming.extend(_steps_after(coming.popleft()()))


def _do(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
) -> list[CloudEvent]:
    mode = event.meta.stamp.mode(workflow.context)
    legacy = legacy_steps.of(workflow)
    if legacy is None:
        function = None
    elif mode is Mode.SHADOW:
        function = shadow.compared(legacy, event)
    else:
        function = legacy.function
    return handling.handle(
        workflow, event, attempt=attempt, last_delivery=last_delivery, mode=mode, function=function
    )


def _steps_after(recorded: Sequence[CloudEvent]) -> deque[Step]:
    return deque(partial(_do, workflow, event) for event in recorded for workflow in steps(event))
