"""W3C Trace Context: the ``traceparent`` (version 00) joins events, and the request where a flow began, to one trace."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeGuard

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_outside: ContextVar[str | None] = ContextVar("microworkflows_traceparent", default=None)


@contextmanager
def continued_from(traceparent: str) -> Iterator[None]:
    """Make the flows that begin in the block part of a trace from outside, such as a request's.

    ``traceparent`` is the header of W3C Trace Context; an invalid one is ignored, as the standard says.
    """
    token = _outside.set(traceparent if is_valid(traceparent) else None)
    try:
        yield
    finally:
        _outside.reset(token)


def from_outside() -> str | None:
    """Return the ``traceparent`` from outside that a new flow continues, or None."""
    return _outside.get()


def is_valid(value: object) -> TypeGuard[str]:
    """Return True if ``value`` is a valid ``traceparent`` of version 00."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def ids(traceparent: str) -> tuple[str, str]:
    """Return the id of the trace (32 hexadecimal digits) and that of the span (16) in a valid ``traceparent``."""
    return traceparent[3:35], traceparent[36:52]


def new() -> str:
    """Return the ``traceparent`` of the first span of a new, sampled trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(parent: str) -> str:
    """Return the ``traceparent`` of a new span in the trace of another."""
    version, trace_id, _, flags = parent.split("-")
    return f"{version}-{trace_id}-{secrets.token_hex(8)}-{flags}"
