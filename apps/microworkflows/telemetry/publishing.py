"""The *publish* span of a batch that a relay has sent, linked to the creation of each of its messages.

The span of a single message is in that message's trace. The span of several begins a trace of its own, since it has one parent
at most.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind

from microworkflows.flows import Sent
from microworkflows.telemetry import attributes, contexts, tracing
from microworkflows.telemetry import conventions as names

_MOST_LINKS = 128
"""Number of links that an SDK keeps of a span, unless it is told otherwise: a larger batch has several spans."""


def publish(batch: Sent) -> None:
    """Make the spans of a batch."""
    rejected = [(key, body) for key, body, _ in batch.rejected]
    parts = (batch.relayed, batch.unheard, rejected, batch.unconfirmed)
    bodies = [body for part in parts for _, body in part]
    ended_at = time.time_ns()
    began_at = ended_at - int(batch.duration * 1e9)
    for start in range(0, len(bodies), _MOST_LINKS):
        span = _begin(bodies[start : start + _MOST_LINKS], at=began_at)
        if batch.unheard:
            span.set_attribute(names.UNHEARD, len(batch.unheard))
        if rejected or batch.unconfirmed:
            attributes.fail(span, type=names.REJECTED if rejected else names.UNCONFIRMED)
        span.end(ended_at)


def _begin(bodies: Sequence[str], *, at: int) -> Span:
    single = json.loads(bodies[0]) if len(bodies) == 1 else None
    destination = attributes.destination(routing_key=single["type"] if single else None)
    span = tracing.tracer.start_span(
        f"{names.PUBLISH} {destination}",
        context=contexts.under(_creation(single)) if single else Context(),
        kind=SpanKind.CLIENT,
        attributes=attributes.of_operation(names.PUBLISH, type=names.SEND, destination=destination),
        start_time=at,
    )
    if span.is_recording():  # reading the others would be in vain
        span.set_attributes(_of_message(single) if single else {names.MESSAGE_COUNT: len(bodies)})
        for event in [single] if single else map(json.loads, bodies):
            _link(span, event)
    return span


def _link(span: Span, event: Mapping[str, Any]) -> None:
    destination = attributes.destination(routing_key=event["type"])
    span.add_link(_creation(event), {names.DESTINATION: destination, **_of_message(event)})


def _of_message(event: Mapping[str, Any]) -> attributes.Attributes:
    return attributes.of_any_message(
        event["id"], routing_key=event["type"], conversation_id=event["correlationid"]
    )


def _creation(event: Mapping[str, Any]) -> SpanContext:
    return contexts.creation(event["traceparent"], event)
