"""The guest that makes spans: where an event is created, published and processed, and where it failed."""

from contextlib import AbstractContextManager
from typing import Any

from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.flows import Attempt, Failure, Guest, Sent, TraceContext
from microworkflows.telemetry import creating, processing, publishing


class Telemetry(Guest):
    """Follows an event by OpenTelemetry's messaging spans; see :mod:`~microworkflows.telemetry.conventions`."""

    def span(self, event: Metadata) -> TraceContext | None:
        return creating.create(event)

    def sent(self, batch: Sent) -> None:
        publishing.publish(batch)

    def bundling(self, context: str) -> AbstractContextManager[Any]:
        return processing.bundle(context)

    def running(self, event: CloudEvent, *, consumer: str, number: int) -> AbstractContextManager[Any]:
        return processing.run(event, consumer=consumer, number=number)

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        processing.failed(attempt, failure)
