from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from microworkflows import tracing
from microworkflows.middleware import trace_context

OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the example of W3C Trace Context


def _cause(traceparent: str) -> tracing.Cause:
    return tracing.Cause(
        event_id="1", correlation_id="2", traceparent=traceparent, workflow="a.b", emits=frozenset()
    )


def test_what_an_event_brings_about_is_a_new_span_of_its_trace() -> None:
    with tracing.caused_by(_cause(OUTSIDE)):
        following = tracing.next_traceparent()

    assert tracing.is_traceparent(following)
    assert following.split("-")[1] == OUTSIDE.split("-")[1]
    assert following.split("-")[2] != OUTSIDE.split("-")[2]
    assert tracing.cause() is None


def test_flow_continues_the_trace_of_the_request_that_began_it() -> None:
    with tracing.continued_from(OUTSIDE):
        first = tracing.next_traceparent()

    assert first.split("-")[1] == OUTSIDE.split("-")[1]


def test_invalid_traceparent_is_ignored_and_a_new_trace_begins() -> None:
    with tracing.continued_from("00-nonsense"):
        first = tracing.next_traceparent()

    assert tracing.is_traceparent(first)


def test_all_zero_ids_are_invalid() -> None:
    assert not tracing.is_traceparent(f"00-{'0' * 32}-00f067aa0ba902b7-01")
    assert not tracing.is_traceparent(f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01")
    assert not tracing.is_traceparent(None)


def test_middleware_takes_the_requests_trace_over(rf: RequestFactory) -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(tracing.next_traceparent())
        return HttpResponse()

    trace_context(view)(rf.get("/", headers={"traceparent": OUTSIDE}))
    trace_context(view)(rf.get("/"))

    assert [trace.split("-")[1] == OUTSIDE.split("-")[1] for trace in seen] == [True, False]
