"""Spans as a test compares them: a tree of names, and names instead of ids."""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext


def tree(spans: Iterable[ReadableSpan]) -> list[str]:
    """Return the names of spans in the order of their beginning, each indented below its parent."""
    ordered = sorted(spans, key=lambda span: span.start_time or 0)
    known = {context_of(span).span_id for span in ordered}
    lines: list[str] = []

    def add(parent: int | None, indent: int) -> None:
        for span in ordered:
            above = span.parent.span_id if span.parent and span.parent.span_id in known else None
            if above == parent:
                lines.append("  " * indent + span.name)
                add(context_of(span).span_id, indent + 1)

    add(None, 0)
    return lines


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def traces(spans: Iterable[ReadableSpan]) -> set[int]:
    return {context_of(span).trace_id for span in spans}


def named(spans: Iterable[ReadableSpan], beginning: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name.startswith(beginning)]


def linked(span: ReadableSpan) -> list[int]:
    """Return the ids of the spans that a span is linked to."""
    return [link.context.span_id for link in span.links]
