"""The registry of events and microworkflows: declarations fill it; worker, relay, checks and flow map read it."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

from microworkflows.cloudevents import context_of

if TYPE_CHECKING:
    from microworkflows.deadlines import Deadline
    from microworkflows.events import DomainEvent, IncomingEvent
    from microworkflows.workflows import Microworkflow

_announcements: "list[type[DomainEvent]]" = []
_readings: "list[type[IncomingEvent]]" = []
_workflows: "list[Microworkflow[Any]]" = []
_outcomes: dict[str, str] = {}
_deadlines: "list[Deadline]" = []
_listening: dict[tuple[str, str | None], dict[str, bool]] = {}
"""The labels by type and context, None for all contexts; put together when :func:`listening` is called first."""


def add_announcement(event: "type[DomainEvent]") -> None:
    """Add a declared domain event; the system checks report duplicates, because they can name both."""
    _announcements.append(event)


def add_reading(event: "type[IncomingEvent]") -> None:
    """Add a context's declared reading of a foreign event."""
    _readings.append(event)


def add_outcome(event_type: str, outcome: str) -> None:
    """Add the declaration that flows end with events of a type, and with which outcome."""
    _outcomes[event_type] = outcome


def add_deadline(deadline: "Deadline") -> None:
    """Add a declared deadline."""
    _deadlines.append(deadline)


def add_workflow(workflow: "Microworkflow[Any]") -> None:
    """Add a declared microworkflow."""
    _workflows.append(workflow)
    _listening.clear()


def announcements() -> "list[type[DomainEvent]]":
    """Return every declared domain event, duplicates of a type included."""
    return list(_announcements)


def announced() -> "dict[str, type[DomainEvent]]":
    """Return the domain events by type."""
    return {event.event_type: event for event in _announcements}


def outcomes() -> dict[str, str]:
    """Return, by the type of each event with which flows end, the outcome of these."""
    return dict(_outcomes)


def deadlines() -> "list[Deadline]":
    """Return every declared deadline."""
    return list(_deadlines)


def readings() -> "list[type[IncomingEvent]]":
    """Return every declared reading of another context's event."""
    return list(_readings)


def workflows() -> "list[Microworkflow[Any]]":
    """Return every microworkflow, ordered by label."""
    return sorted(_workflows, key=lambda workflow: workflow.label)


def workflow(label: str) -> "Microworkflow[Any] | None":
    """Return the microworkflow with a label; None if no code declares it."""
    return next((each for each in workflows() if each.label == label), None)


def listeners(event_type: str, *, contexts: Collection[str] | None = None) -> "list[Microworkflow[Any]]":
    """Return the microworkflows that ``event_type`` triggers, of all contexts or of those named."""
    return [
        workflow
        for workflow in workflows()
        if event_type in workflow.types and (contexts is None or workflow.context in contexts)
    ]


def listening(event_type: str, *, context: str | None = None) -> Mapping[str, bool]:
    """Return the labels of the microworkflows that ``event_type`` triggers, of all contexts or of one.

    They are the keys of a JSON object, to be stored.
    """
    if not _listening:
        for workflow in workflows():
            for key in product(workflow.types, (None, workflow.context)):
                _listening.setdefault(key, {})[workflow.label] = True
    return _listening.get((event_type, context), {})


def contexts() -> list[str]:
    """Return the labels of the contexts that announce or listen, sorted."""
    announcing = {context_of(event_type) for event_type in announced()}
    return sorted(announcing | {workflow.context for workflow in _workflows})


def subscriptions(context: str) -> list[str]:
    """Return the types that a context listens to, sorted: the bindings of its queue."""
    return sorted({each for workflow in _workflows if workflow.context == context for each in workflow.types})


@contextmanager
def isolated() -> Iterator[None]:
    """Undo declarations made inside the block, for tests that declare their own events."""
    before = list(_announcements), list(_readings), list(_workflows), list(_deadlines)
    outcomes_before = dict(_outcomes)
    try:
        yield
    finally:
        _announcements[:], _readings[:], _workflows[:], _deadlines[:] = before
        _outcomes.clear()
        _outcomes.update(outcomes_before)
        _listening.clear()


def clear() -> None:
    """Forget everything declared so far; for tests, inside :func:`isolated`."""
    for declared in (_announcements, _readings, _workflows, _deadlines):
        declared.clear()
    _outcomes.clear()
    _listening.clear()
