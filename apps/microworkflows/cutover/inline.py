"""Inline: the monolith does the steps of a flow that are not live yet, at the place and time of the direct calls."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.db import router, transaction

from microworkflows import causes, failures, handling, logs, registry
from microworkflows.cloudevents import CloudEvent
from microworkflows.cutover import conf, legacy_steps, shadow, switch
from microworkflows.cutover.stamps import BY_MONOLITH, DISAGREED, MONOLITH, Mode, Stamp
from microworkflows.errors import PermanentError
from microworkflows.inbox import NobodyListensError, left_to_other_version
from microworkflows.models import Header, InboxEvent
from microworkflows.workflows import Microworkflow

logger = logging.getLogger(__name__)

Call = Callable[[], list[CloudEvent]]
"""Does one step when it is called, and returns the emitted events."""

_in_monolith: ContextVar[bool] = ContextVar("microworkflows_in_monolith", default=False)
"""True while the monolith does a step, so that the inline steps that follow happen in the same transaction."""


class ContextMovedError(PermanentError):
    """The monolith is to do a step of a context that now has a database of its own."""


def steps(event: CloudEvent) -> list[Microworkflow[Any]]:
    """Return the microworkflows that the monolith does for this event, in this flow."""
    stamp = Stamp.parse(event.meta.mark)
    if not stamp.entries:
        return []
    return [
        workflow
        for workflow in registry.listeners(event.meta.type)
        if stamp.mode(workflow.context) in BY_MONOLITH
    ]


def follow(recorded: Sequence[CloudEvent]) -> None:
    """Do the inline steps that follow from events just recorded, and from those that they emit, in order of recording.

    Events that a live microworkflow records are left to the monolith's own worker: its transaction is another
    service's. Events that a step records by hand are followed at once: a rollback to a savepoint takes both away.
    """
    cause = causes.cause()
    if cause is not None and (not _in_monolith.get() or cause.rehearsal is not None):
        return
    _do_all(_calls_after(recorded))


def receive(
    event: CloudEvent, *, attempt: int | None = None, label: str | None = None, last_delivery: bool = False
) -> None:
    """Do the steps that the monolith does in this flow, each in one transaction with the inline steps that follow.

    If a microworkflow is named by its label, its step alone is done.
    """
    if attempt is None and _was_followed(event):
        logger.info(
            "skipped %s: its inline steps were done when it was recorded",
            event,
            extra=logs.fields(event.meta, consumer=MONOLITH),
        )
        return
    workflows = [workflow for workflow in steps(event) if label in (None, workflow.label)]
    if (
        not workflows
        and not registry.listeners(event.meta.type, contexts=conf.contexts())
        and not left_to_other_version(event, contexts=conf.contexts(), consumer=MONOLITH, attempt=attempt)
    ):
        error = NobodyListensError(
            f"No microworkflow of the monolith listens to {event.meta.type}. If a newer version of its code does, "
            "replay this message once that runs."
        )
        failures.keep(MONOLITH, event, error, attempt=attempt)
    moved = switch.moved() if workflows else {}
    for workflow in workflows:
        if (there := moved.get(workflow.context)) is not None:
            failures.keep(
                MONOLITH,
                event,
                ContextMovedError(
                    f"In this flow the monolith has to do {workflow.label}, but {workflow.context} now works in {there}, "
                    "and its rows here are old. Move it back, replay this message, and move it again."
                ),
                attempt=attempt,
            )
            continue
        failures.run_or_keep(
            partial(do, workflow, event, attempt=attempt, last_delivery=last_delivery),
            consumer=workflow.label,
            event=event,
            attempt=attempt,
            headers=_headers(workflow, event),
        )


def do(
    workflow: Microworkflow[Any], event: CloudEvent, *, attempt: int | None, last_delivery: bool = False
) -> None:
    """Do one step for a delivered event, and the inline steps that follow from it, in one transaction."""
    first = partial(_do, workflow, event, attempt=attempt, last_delivery=last_delivery)
    with transaction.atomic(using=router.db_for_write(InboxEvent)):
        _do_all(deque([first]))


def _was_followed(event: CloudEvent) -> bool:
    """Return True if the monolith recorded the event, and so did its inline steps in the same transaction."""
    if event.meta.is_timer:
        return False
    mode = Stamp.parse(event.meta.mark).mode(event.meta.context)
    return event.meta.causation_id is None or mode in BY_MONOLITH


def _do_all(coming: deque[Call]) -> None:
    while coming:
        coming.extend(_calls_after(coming.popleft()()))


def _do(
    workflow: Microworkflow[Any],
    event: CloudEvent,
    *,
    attempt: int | None = None,
    last_delivery: bool = False,
) -> list[CloudEvent]:
    legacy, headers = legacy_steps.of(workflow), _headers(workflow, event)
    if legacy is None:
        function = None
    elif _mode(workflow, event) is Mode.SHADOW:
        function = shadow.compared(legacy, event, disagreed=lambda: headers.update({Header.MODE: DISAGREED}))
    else:
        function = legacy.function
    with _as_monolith():
        return handling.handle(
            workflow,
            event,
            attempt=attempt,
            last_delivery=last_delivery,
            function=function,
            headers=headers,
            joins=True,
        )


@contextmanager
def _as_monolith() -> Iterator[None]:
    token = _in_monolith.set(True)
    try:
        yield
    finally:
        _in_monolith.reset(token)


def _mode(workflow: Microworkflow[Any], event: CloudEvent) -> Mode | None:
    return Stamp.parse(event.meta.mark).mode(workflow.context)


def _headers(workflow: Microworkflow[Any], event: CloudEvent) -> dict[str, str]:
    """Return the headers of the inbox row, by which the journey tells who did the step."""
    return {Header.MODE: str(_mode(workflow, event))}


def _calls_after(recorded: Sequence[CloudEvent]) -> deque[Call]:
    """Return the steps that follow from events at once; those that follow from a timer are done when it is delivered."""
    now = (event for event in recorded if not event.meta.is_timer)
    return deque(partial(_do, workflow, event) for event in now for workflow in steps(event))
