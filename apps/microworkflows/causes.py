"""Causation: the event being handled, in its microworkflow, is the cause of each event recorded meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from microworkflows import traceparent as traces
from microworkflows.subjects import Subject


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The event being handled and its microworkflow; events recorded meanwhile inherit from them."""

    event_id: str
    correlation_id: str
    traceparent: str
    workflow: str
    """Label of the microworkflow, such as ``payments.take_payment``."""
    emits: frozenset[str]
    """Event types that the microworkflow declared; it may record no others."""
    subject: Subject | None = None
    """The object that the flow is about."""
    mark: str | None = None
    """Mark of the flow, see :mod:`~microworkflows.flows`."""
    hops: int = 0
    """Number of events that led to this one, each causing the next."""
    many: bool = False
    """True if the microworkflow takes many events: what it recorded by itself would have no one cause."""
    rehearsal: list[Any] | None = None
    """Takes the recorded events, in place of the outbox, during a rehearsal (a run that is rolled back)."""
    recorded: list[UUID] = field(default_factory=list)
    """Takes, once they are committed, the ids of the events that the microworkflow recorded instead of returning them."""


_cause: ContextVar[Cause | None] = ContextVar("microworkflows_cause", default=None)


def cause() -> Cause | None:
    """Return the event being handled in this execution context, or None where a flow begins."""
    return _cause.get()


@contextmanager
def caused_by(cause: Cause) -> Iterator[None]:
    """Make everything recorded in the block an effect of ``cause``."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


def current_traceparent() -> str | None:
    """Return the ``traceparent`` of the event being handled, or of the request being answered; None outside both."""
    current = _cause.get()
    return current.traceparent if current else traces.from_outside()


def next_traceparent() -> str:
    """Return the ``traceparent`` of a new span: in the current trace where there is one, else in a new trace."""
    parent = current_traceparent()
    return traces.child_of(parent) if parent else traces.new()
