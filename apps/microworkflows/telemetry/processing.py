"""The *process* span of each run of a microworkflow, and that of a bundle of runs which share a transaction.

The span of a run has the creation of its message as the parent, so that a flow is one trace, and as a link, as the conventions
demand. In a bundle it has another link, to the bundle's span. That begins a trace of its own, with a link to each message.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind

from microworkflows import topology
from microworkflows.cloudevents import CloudEvent, context_of
from microworkflows.flows import Attempt, Failure
from microworkflows.telemetry import attributes, contexts, tracing
from microworkflows.telemetry import conventions as names


@dataclass(frozen=True)
class _Bundle:
    span: Span
    messages: set[str] = field(default_factory=set)


_bundle: ContextVar[_Bundle | None] = ContextVar("microworkflows_bundle_span", default=None)
_shown: deque[tuple[str, str, str]] = deque(maxlen=64)
"""Failures whose span says so already: id of the event, microworkflow, and type of the error."""


@contextmanager
def bundle(of: str) -> Iterator[None]:
    """Make the span of a bundle in a context: from the begin of its transaction to the commit."""
    destination = attributes.destination(queue=topology.name(of))
    span = tracing.tracer.start_span(
        f"{names.PROCESS} {destination}",
        context=Context(),
        kind=SpanKind.CONSUMER,
        attributes=attributes.of_operation(names.PROCESS, type=names.PROCESS, destination=destination),
    )
    bundle = _Bundle(span)
    token, current = _bundle.set(bundle), context.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        attributes.fail(span, type=attributes.type_of(error))
        raise
    finally:
        context.detach(current)
        _bundle.reset(token)
        span.set_attribute(names.MESSAGE_COUNT, len(bundle.messages))
        span.end()


@contextmanager
def run(event: CloudEvent, *, consumer: str, number: int) -> Iterator[None]:
    """Make the span of a run, in which the spans of everything that it does belong."""
    span = _begin(event, consumer=consumer, number=number)
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except BaseException as error:
        kind = attributes.type_of(error)
        attributes.fail(span, type=kind, text=attributes.text_of(error, event))
        if (shown := (str(event.meta.id), consumer, kind)) not in _shown:
            _shown.append(shown)
        raise
    finally:
        context.detach(token)
        span.end()


def failed(attempt: Attempt, failure: Failure) -> None:
    """Make the span of an attempt that failed outside of its run, such as at the commit, or before it began."""
    key = (str(attempt.event.meta.id), attempt.consumer, failure.type)
    if key in _shown:
        _shown.remove(key)
        return
    ended_at = time.time_ns()
    began_at = ended_at - int((attempt.duration or 0.0) * 1e9)
    span = _begin(attempt.event, consumer=attempt.consumer, number=attempt.number, at=began_at)
    attributes.fail(span, type=failure.type, text=failure.error.partition("\n")[0].partition(": ")[2])
    span.end(ended_at)


def _begin(event: CloudEvent, *, consumer: str, number: int, at: int | None = None) -> Span:
    meta = event.meta
    creation = contexts.creation(meta.traceparent, event.extensions)
    queue = topology.name(topology.queue_for(context_of(consumer), meta.mark))
    destination = attributes.destination(routing_key=meta.type, queue=queue)
    if (bundle := _bundle.get()) is not None and bundle.span.is_recording():
        _add(bundle, event, creation=creation, destination=destination)
    span = tracing.tracer.start_span(
        f"{names.PROCESS} {destination}",
        context=contexts.under(creation),
        kind=SpanKind.CONSUMER,
        attributes=attributes.of_operation(names.PROCESS, type=names.PROCESS, destination=destination),
        start_time=at,
    )
    if span.is_recording():
        span.set_attributes(
            {**attributes.of_event(event), names.MICROWORKFLOW: consumer, names.ATTEMPT: number}
        )
        span.add_link(creation)
        around = trace.get_current_span().get_span_context()
        if around.is_valid:
            span.add_link(around)
    return span


def _add(bundle: _Bundle, event: CloudEvent, *, creation: SpanContext, destination: str) -> None:
    """Link a bundle's span to a message, once."""
    message_id = event.meta.original_id or str(event.meta.id)
    if message_id not in bundle.messages:
        bundle.messages.add(message_id)
        about = attributes.of_any_message(
            message_id, routing_key=event.meta.type, conversation_id=event.meta.correlation_id
        )
        bundle.span.add_link(creation, {names.DESTINATION: destination, **about})
