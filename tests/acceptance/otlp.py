"""A receiver of OTLP over HTTP: it decodes what exporters send, and keeps the spans of all services."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

PATH = "/v1/traces"


@dataclass(frozen=True)
class Span:
    """A span as it was received."""

    service: str
    sent: Sent

    @property
    def name(self) -> str:
        """The name, with that of its service before it."""
        return f"{self.service}: {self.sent.name}"

    @property
    def attributes(self) -> dict[str, str | int]:
        return _plain(self.sent.attributes)

    @property
    def links(self) -> list[tuple[bytes, dict[str, str | int]]]:
        """Ids of the spans that it is linked to, each with the attributes of the link."""
        return [(link.span_id, _plain(link.attributes)) for link in self.sent.links]


class Receiver:
    """What has been received so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.refused: list[str] = []
        """Paths of requests that were no traces."""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = str(_plain(resource.resource.attributes)["service.name"])
            self.spans += [Span(service, span) for scope in resource.scope_spans for span in scope.spans]

    def named(self, part: str) -> list[Span]:
        return [span for span in list(self.spans) if part in span.name]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Yield a receiver at a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != PATH or self.headers["Content-Type"] != "application/x-protobuf":
                received.refused.append(self.path)
                self.send_error(404)
                return
            received.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class names it)
            """Say nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def tree(spans: Iterable[Span]) -> list[str]:
    """Return names of spans, each indented below its parent; those with the same parent in the order of their names."""
    ordered = sorted(spans, key=lambda span: (span.name, span.sent.start_time_unix_nano))
    known = {span.sent.span_id for span in ordered}
    lines: list[str] = []

    def add(parent: bytes, indent: int) -> None:
        for span in ordered:
            above = span.sent.parent_span_id
            if (above if above in known else b"") == parent:
                lines.append("  " * indent + span.name)
                add(span.sent.span_id, indent + 1)

    add(b"", 0)
    return lines


def _plain(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    return {
        each.key: each.value.int_value
        if each.value.WhichOneof("value") == "int_value"
        else each.value.string_value
        for each in attributes
    }
