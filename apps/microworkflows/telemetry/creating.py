"""The *create* span of an event: its context travels with the event, and all that follows belongs to it."""

from opentelemetry.trace import SpanKind

from microworkflows.cloudevents import Metadata
from microworkflows.flows import TraceContext
from microworkflows.telemetry import attributes, contexts, tracing
from microworkflows.telemetry import conventions as names


def create(event: Metadata) -> TraceContext | None:
    """Make the span in which an event is created; return None if no SDK makes spans."""
    parent = contexts.parent_of_new_event()
    destination = attributes.destination(routing_key=event.type)
    span = tracing.tracer.start_span(
        f"{names.CREATE} {destination}",
        context=contexts.under(parent) if parent.is_valid else None,
        kind=SpanKind.PRODUCER,
        attributes=attributes.of_operation(names.CREATE, type=names.CREATE, destination=destination),
    )
    if span.is_recording():
        span.set_attributes(attributes.of_envelope(event))
        span.end()
    made = span.get_span_context()
    return contexts.to_travel(made) if made.is_valid and made.span_id != parent.span_id else None
