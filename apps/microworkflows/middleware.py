"""Django middleware: flows that begin in a request continue its trace (W3C Trace Context)."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from microworkflows import traceparent


def trace_context(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Make flows that begin in a request part of its trace; without a valid ``traceparent``, each begins a new one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with traceparent.continued_from(request.headers.get("traceparent", "")):
            return get_response(request)

    return middleware
