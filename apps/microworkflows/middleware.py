"""Django middleware: flows that begin in a request continue its trace (W3C Trace Context)."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from microworkflows import traceparent


def trace_context(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Take the request's ``traceparent`` over into what it records; without a valid one a flow begins a new trace."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with traceparent.continued_from(request.headers.get("traceparent", "")):
            return get_response(request)

    return middleware
