"""A receiver of OTLP that reads and forgets what it gets: ``python -m benchmarks.sink``, which prints its port."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a request in."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class names it)
        """Say nothing of each request."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as server:
        print(f"port {server.server_port}", flush=True)
        server.serve_forever()
