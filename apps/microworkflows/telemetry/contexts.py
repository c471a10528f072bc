"""Trace contexts: an event's ``traceparent`` and ``tracestate`` as OpenTelemetry's span context, and back."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from microworkflows import causes
from microworkflows import traceparent as traces
from microworkflows.cloudevents import TRACESTATE
from microworkflows.flows import TraceContext

_LONGEST_STATE = 512
"""Characters of a ``tracestate`` that everybody propagates (W3C Trace Context, section 3.3.1.5)."""


def creation(traceparent: str, extensions: Mapping[str, Any]) -> SpanContext:
    """Return the context in which an event was created, which travels with it."""
    trace_id, span_id = traces.ids(traceparent)
    state = extensions.get(TRACESTATE)
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[-2:], 16)),
        trace_state=TraceState.from_header([state]) if isinstance(state, str) else None,
    )


def under(parent: SpanContext) -> Context:
    """Return the current context with a span from elsewhere as the parent of what begins in it."""
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def parent_of_new_event() -> SpanContext:
    """Return the span in which an event is being recorded: the current one, else that of the event's cause or of the request.

    It is invalid where a trace begins.
    """
    current = trace.get_current_span().get_span_context()
    if current.is_valid or (outside := causes.current_traceparent()) is None:
        return current
    return creation(outside, {})


def to_travel(span: SpanContext) -> TraceContext:
    """Return a span as it travels with an event."""
    traceparent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    state = span.trace_state.to_header() if len(span.trace_state) else ""
    return TraceContext(traceparent, state if len(state) <= _LONGEST_STATE else "")
