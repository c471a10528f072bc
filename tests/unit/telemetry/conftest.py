"""The SDK with its in-memory exporter, in place of what a project sets up; the broker is a RabbitMQ that nobody reaches."""

from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler

from microworkflows import celery_app
from microworkflows.telemetry import attributes, tracing

Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the app for events name a RabbitMQ."""
    monkeypatch.setattr(
        celery_app,
        "get",
        lambda: Celery(broker="amqp://guest:secret@rabbit.example/shop", set_as_current=False),
    )
    attributes.of_broker.cache_clear()
    yield
    attributes.of_broker.cache_clear()


def exporting(monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None = None) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("microworkflows.telemetry"))
    return exporter


@pytest.fixture
def spans(broker: None, monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Return a function that returns the spans ended so far, first ended first."""
    exporter = exporting(monkeypatch)
    return lambda: list(exporter.get_finished_spans())


@pytest.fixture
def unsampled(broker: None, monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Set up the SDK so that it samples no trace that begins here; return a function as ``spans`` does."""
    exporter = exporting(monkeypatch, ParentBased(ALWAYS_OFF))
    return lambda: list(exporter.get_finished_spans())
