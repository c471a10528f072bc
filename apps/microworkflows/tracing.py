"""What caused what: the event being handled, and W3C Trace Context (``traceparent``) for what it brings about."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeGuard

from microworkflows.stamps import BY_MONOLITH, UNSTAMPED, Mode, Stamp

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The event that is being handled, and by whom: what is recorded meanwhile inherits from it."""

    event_id: str
    correlation_id: str
    traceparent: str
    workflow: str
    """Label of the microworkflow, such as ``payments.take_payment``."""
    emits: frozenset[str]
    """Types that it declared; no other may be recorded."""
    stamp: Stamp = UNSTAMPED
    """Of the flow, which what is recorded meanwhile belongs to."""
    mode: Mode = Mode.LIVE
    """How the microworkflow runs."""
    rehearsal: list[Any] | None = None
    """In a shadow run: takes the events that are recorded, which nobody else ever sees."""

    @property
    def by_monolith(self) -> bool:
        """Whether the monolith runs it, so that what follows inline happens in this very transaction."""
        return self.mode in BY_MONOLITH


_cause: ContextVar[Cause | None] = ContextVar("microworkflows_cause", default=None)
_traceparent: ContextVar[str | None] = ContextVar("microworkflows_traceparent", default=None)


def cause() -> Cause | None:
    """Return the event being handled in this context of execution, or None where a flow begins."""
    return _cause.get()


@contextmanager
def caused_by(cause: Cause) -> Iterator[None]:
    """Make everything recorded in the block an effect of ``cause``."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)


@contextmanager
def continued_from(traceparent: str) -> Iterator[None]:
    """Make the flows that begin in the block part of a trace from outside, such as a request's.

    ``traceparent`` is the header of W3C Trace Context; an invalid one is ignored, as the standard says.
    """
    token = _traceparent.set(traceparent if is_traceparent(traceparent) else None)
    try:
        yield
    finally:
        _traceparent.reset(token)


def is_traceparent(value: object) -> TypeGuard[str]:
    """Tell whether ``value`` is a valid ``traceparent`` of version 00."""
    return isinstance(value, str) and _TRACEPARENT.fullmatch(value) is not None


def next_traceparent() -> str:
    """Return the ``traceparent`` of a new span: in the current trace where there is one, else in a new trace."""
    current = _cause.get()
    parent = current.traceparent if current else _traceparent.get()
    if parent is None:
        return new_traceparent()
    version, trace_id, _, flags = parent.split("-")
    return f"{version}-{trace_id}-{secrets.token_hex(8)}-{flags}"


def new_traceparent() -> str:
    """Return the ``traceparent`` of the first span of a new, sampled trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
