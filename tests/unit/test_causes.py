from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from microworkflows import causes, traceparent
from microworkflows.middleware import trace_context

OUTSIDE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"  # the example of W3C Trace Context


def _cause(parent: str) -> causes.Cause:
    return causes.Cause(
        event_id="1", correlation_id="2", traceparent=parent, workflow="a.b", emits=frozenset()
    )


def test_what_an_event_brings_about_is_a_new_span_of_its_trace() -> None:
    with causes.caused_by(_cause(OUTSIDE)):
        following = causes.next_traceparent()

    assert traceparent.is_valid(following)
    assert following.split("-")[1] == OUTSIDE.split("-")[1]
    assert following.split("-")[2] != OUTSIDE.split("-")[2]
    assert causes.cause() is None


def test_flow_continues_the_trace_of_the_request_that_began_it() -> None:
    with traceparent.continued_from(OUTSIDE):
        first = causes.next_traceparent()

    assert first.split("-")[1] == OUTSIDE.split("-")[1]


def test_invalid_traceparent_is_ignored_and_a_new_trace_begins() -> None:
    with traceparent.continued_from("00-nonsense"):
        first = causes.next_traceparent()

    assert traceparent.is_valid(first)


def test_all_zero_ids_are_invalid() -> None:
    assert not traceparent.is_valid(f"00-{'0' * 32}-00f067aa0ba902b7-01")
    assert not traceparent.is_valid(f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01")
    assert not traceparent.is_valid(None)


def test_middleware_takes_the_requests_trace_over(rf: RequestFactory) -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(causes.next_traceparent())
        return HttpResponse()

    trace_context(view)(rf.get("/", headers={"traceparent": OUTSIDE}))
    trace_context(view)(rf.get("/"))

    assert [trace.split("-")[1] == OUTSIDE.split("-")[1] for trace in seen] == [True, False]
