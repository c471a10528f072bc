"""One flow is one trace of OpenTelemetry's messaging spans; names, kinds, attributes and links are those of the conventions."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from microworkflows import (
    IncomingEvent,
    Sensitive,
    Subject,
    bundling,
    flows,
    inbox,
    microworkflow,
    outbox,
    traceparent,
)
from microworkflows.causes import Cause, caused_by
from microworkflows.cloudevents import Metadata
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.sensitive import MASK
from microworkflows.testing import Flow
from tests.unit.telemetry.conftest import Spans
from tests.unit.telemetry.trees import context_of, linked, named, traces, tree

pytestmark = pytest.mark.django_db

OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AT_BROKER = {
    "messaging.system": "rabbitmq",
    "server.address": "rabbit.example",
    "server.port": 5672,
}
A_FLOW = [
    "create microworkflows:letters.letter_written.v1",
    "  process microworkflows:letters.letter_written.v1:desk",
    "    create microworkflows:desk.letter_stamped.v1",
    "      process microworkflows:desk.letter_stamped.v1:archive",
]


def _record(post: SimpleNamespace) -> Metadata:
    with transaction.atomic():
        return outbox.record(
            post.LetterWritten(letter_id=uuid4()), about=Subject(kind="letter", key=1, name="L 1")
        )


def _sent(*events: Metadata, **outcomes: Any) -> flows.Sent:
    rows = OutboxEvent.objects.in_bulk([event.id for event in events])
    told = [(event.id, json.dumps(rows[event.id].body)) for event in events]
    given = {"relayed": told, "unheard": [], "rejected": [], "unconfirmed": [], "duration": 0.25}
    return flows.Sent(context="letters", **{**given, **outcomes})


def _about(event: Metadata) -> dict[str, Any]:
    return {
        "messaging.message.id": str(event.id),
        "messaging.message.conversation_id": "letter:1",
        "messaging.rabbitmq.destination.routing_key": "letters.letter_written.v1",
    }


def _as_event(event: Metadata) -> dict[str, Any]:
    return {
        **_about(event),
        "cloudevents.event_id": str(event.id),
        "cloudevents.event_source": "/letters",
        "cloudevents.event_spec_version": "1.0",
        "cloudevents.event_type": "letters.letter_written.v1",
        "microworkflows.subject": "letter:1",
        "microworkflows.subject_name": "L 1",
    }


def test_flow_over_three_contexts_is_one_trace(post: SimpleNamespace, spans: Spans) -> None:
    flow = Flow()
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run()

    assert tree(spans()) == A_FLOW
    assert len(traces(spans())) == 1


def test_create_span_has_the_conventions_attributes_and_its_context_travels(
    post: SimpleNamespace, spans: Spans
) -> None:
    event = _record(post)

    (span,) = spans()
    context = context_of(span)
    assert event.traceparent == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert context.trace_flags.sampled
    assert (span.kind, span.parent, span.status.status_code) == (SpanKind.PRODUCER, None, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        **AT_BROKER,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": "microworkflows:letters.letter_written.v1",
        **_as_event(event),
    }


def test_process_span_has_the_conventions_attributes_and_a_link(post: SimpleNamespace, spans: Spans) -> None:
    event = _record(post)

    Flow().run(contexts=["desk"])

    create, process = named(spans(), "create microworkflows:letters") + named(spans(), "process")
    assert process.kind == SpanKind.CONSUMER
    assert process.parent is not None
    assert process.parent.span_id == context_of(create).span_id
    assert process.parent.is_remote
    assert linked(process) == [context_of(create).span_id]
    assert dict(process.attributes or {}) == {
        **AT_BROKER,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "microworkflows:letters.letter_written.v1:desk",
        **_as_event(event),
        "microworkflows.microworkflow": "desk.stamp_letter",
        "microworkflows.attempt": 1,
    }


def test_publish_span_of_one_message_is_in_its_trace(post: SimpleNamespace, spans: Spans) -> None:
    event = _record(post)

    flows.sent(_sent(event))

    create, publish = spans()
    assert tree(spans()) == [A_FLOW[0], "  publish microworkflows:letters.letter_written.v1"]
    assert publish.kind == SpanKind.CLIENT
    assert linked(publish) == [context_of(create).span_id]
    assert dict(publish.attributes or {}) == {
        **AT_BROKER,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "microworkflows:letters.letter_written.v1",
        **_about(event),
    }
    assert (publish.end_time or 0) - (publish.start_time or 0) == 250_000_000


def test_publish_span_of_a_batch_is_linked_to_each_message(post: SimpleNamespace, spans: Spans) -> None:
    events = [_record(post) for _ in range(3)]

    flows.sent(_sent(*events))

    *created, publish = spans()
    assert (publish.name, publish.parent) == ("publish microworkflows", None)
    assert linked(publish) == [context_of(span).span_id for span in created]
    destination = {"messaging.destination.name": "microworkflows:letters.letter_written.v1"}
    assert [dict(link.attributes or {}) for link in publish.links] == [
        {**destination, **_about(event)} for event in events
    ]
    assert dict(publish.attributes or {}) == {
        **AT_BROKER,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "microworkflows",
        "messaging.batch.message_count": 3,
    }


def test_batch_with_more_messages_than_a_span_keeps_links_has_several_spans(
    post: SimpleNamespace, spans: Spans
) -> None:
    event = _record(post)
    (body,) = [body for _, body in _sent(event).relayed]

    flows.sent(_sent(relayed=[(uuid4(), body)] * 300))

    assert [len(span.links) for span in named(spans(), "publish")] == [128, 128, 44]


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        ("unheard", (StatusCode.UNSET, None, 1)),
        ("rejected", (StatusCode.ERROR, "rejected", None)),
        ("unconfirmed", (StatusCode.ERROR, "unconfirmed", None)),
    ],
)
def test_publish_span_tells_what_the_broker_did_not_take(
    post: SimpleNamespace, spans: Spans, outcome: str, shown: tuple[StatusCode, str | None, int | None]
) -> None:
    event = _record(post)
    ((key, body),) = _sent(event).relayed
    told = (key, body, "too large") if outcome == "rejected" else (key, body)

    flows.sent(_sent(event, **{"relayed": [], outcome: [told]}))

    publish = spans()[-1]
    found = publish.attributes or {}
    assert (
        publish.status.status_code,
        found.get("error.type"),
        found.get("microworkflows.unheard"),
    ) == shown


def test_failure_and_retry_are_two_spans_of_the_trace(post: SimpleNamespace, spans: Spans) -> None:
    post.fail = ValueError("the stamp is dry")
    flow = Flow()
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=["desk"], keep_failures=True)
    post.fail = None

    flow.retry()

    first, second = named(spans(), "process")
    assert tree(spans()) == [*A_FLOW[:2], *A_FLOW[1:3]]
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "the stamp is dry")
    assert _shown(first) == ("builtins.ValueError", 1)
    assert second.status.status_code == StatusCode.UNSET
    assert _shown(second) == (None, 2)


def _shown(span: ReadableSpan) -> tuple[object, object]:
    found = span.attributes or {}
    return found.get("error.type"), found.get("microworkflows.attempt")


def test_replay_is_a_further_span_of_the_trace(post: SimpleNamespace, spans: Spans) -> None:
    post.fail = ValueError("the stamp is dry")
    flow = Flow()
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=["desk"], keep_failures=True)
    InboxEvent.objects.update(status=InboxEvent.Status.PARKED)
    post.fail = None
    InboxEvent.objects.parked().replay(by="ada")

    flow.retry()

    assert len(named(spans(), "process")) == 2
    assert len(traces(spans())) == 1


def test_attempt_that_failed_outside_of_its_run_has_a_span_too(post: SimpleNamespace, spans: Spans) -> None:
    event = _record(post)

    inbox.receive(OutboxEvent.objects.get(pk=event.id).body, queue="desk", last_delivery=True)

    (process,) = named(spans(), "process")
    assert _shown(process) == ("microworkflows.handling.ProcessDiedError", 1)
    assert process.status.description is not None
    assert process.status.description.startswith("The worker's process died")
    assert tree(spans()) == A_FLOW[:2]


def test_no_sensitive_value_gets_into_a_span(empty_registry: None, spans: Spans) -> None:
    class CardGiven(IncomingEvent, type="till.card_given.v1"):
        card: Sensitive[str]

    @microworkflow(on=CardGiven, context="till")
    def charge(event: CardGiven) -> None:
        raise ValueError(f"no such card: {event.card}\nin {event.card}")

    body = {
        "specversion": "1.0",
        "id": "1",
        "source": "https://shop.example",
        "type": "till.card_given.v1",
        "subject": "till-7",
        "traceparent": OUTSIDE,
        "data": {"card": "4111-1111-1111"},
    }
    inbox.receive(body, queue="till")

    (process,) = spans()
    assert "4111-1111" not in process.to_json()
    assert process.status.description == f"no such card: {MASK}"
    attributes = process.attributes or {}
    assert (attributes["cloudevents.event_id"], attributes["cloudevents.event_subject"]) == ("1", "till-7")


def test_bundle_has_a_span_with_a_link_to_each_message(
    post: SimpleNamespace, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)  # a busy machine is to change nothing here
    events = [_record(post) for _ in range(3)]
    rows = OutboxEvent.objects.in_bulk([event.id for event in events])

    inbox.receive_bundle([rows[event.id].body for event in events], queue="desk")

    created = named(spans(), "create microworkflows:letters")
    (bundle,) = [span for span in spans() if span.name == "process microworkflows:desk"]
    assert (bundle.kind, bundle.parent) == (SpanKind.CONSUMER, None)
    assert linked(bundle) == [context_of(span).span_id for span in created]
    destination = {"messaging.destination.name": "microworkflows:letters.letter_written.v1:desk"}
    assert [dict(link.attributes or {}) for link in bundle.links] == [
        {**destination, **_about(event)} for event in events
    ]
    assert dict(bundle.attributes or {}) == {
        **AT_BROKER,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "microworkflows:desk",
        "messaging.batch.message_count": 3,
    }
    runs = named(spans(), "process microworkflows:letters")
    assert [linked(run) for run in runs] == [
        [context_of(create).span_id, context_of(bundle).span_id] for create in created
    ]
    assert tree([*created, *runs]) == A_FLOW[:2] * 3, "each run is in the trace of its message"


def test_events_that_were_handled_in_one_call_have_a_span_each_with_what_they_emit(
    post: SimpleNamespace, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    calls = []

    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterStamped], context="sorting", many=True)
    def sort_letters(events: Sequence[Any]) -> list[Any]:
        calls.append(len(events))
        return [post.LetterStamped(letter_id=event.letter_id) for event in events]

    with transaction.atomic():
        outbox.record_all([post.LetterWritten(letter_id=uuid4()) for _ in range(2)])
    inbox.receive_bundle([row.body for row in OutboxEvent.objects.all()], queue="sorting")

    assert calls == [2]
    create, process, effect = A_FLOW[:3]
    told = [span for span in spans() if span.name != "process microworkflows:sorting"]
    assert tree(told) == [create, process.replace(":desk", ":sorting"), effect] * 2
    assert len(traces(told)) == 2


def test_spans_of_the_handler_are_below_its_run(
    post: SimpleNamespace, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        post, "calls", SimpleNamespace(append=lambda _: seen.append(trace.get_current_span()))
    )
    _record(post)

    Flow().run(contexts=["desk"])

    (current,) = seen
    (process,) = named(spans(), "process")
    assert current.get_span_context() == context_of(process)
    assert not trace.get_current_span().get_span_context().is_valid


def test_flow_continues_the_trace_of_a_request(post: SimpleNamespace, spans: Spans) -> None:
    with traceparent.continued_from(OUTSIDE):
        event = _record(post)

    (span,) = spans()
    assert span.parent is not None
    assert (traceparent.ids(event.traceparent)[0], f"{span.parent.span_id:016x}") == traceparent.ids(OUTSIDE)


def test_flow_continues_the_current_span_rather_than_the_header_of_the_request(
    post: SimpleNamespace, spans: Spans
) -> None:
    server = TracerProvider(shutdown_on_exit=False).get_tracer("an instrumentation")
    with server.start_as_current_span("POST /orders") as request, traceparent.continued_from(OUTSIDE):
        _record(post)

    (span,) = spans()
    assert span.parent == request.get_span_context()


def test_tracestate_travels_through_each_hop(post: SimpleNamespace, spans: Spans) -> None:
    state = trace.TraceState([("ot", "th:c")])
    parent = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)
    with trace.use_span(trace.NonRecordingSpan(parent)):
        flow = Flow()
        flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run()

    assert [row.body["tracestate"] for row in OutboxEvent.objects.all()] == ["ot=th:c"] * 2


def test_decision_not_to_sample_travels_with_the_event(post: SimpleNamespace, unsampled: Spans) -> None:
    flow = Flow()
    event = flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run()
    flows.sent(_sent(event))

    assert unsampled() == []
    made = [row.body["traceparent"] for row in OutboxEvent.objects.all()]
    assert [int(each[-2:], 16) & trace.TraceFlags.SAMPLED for each in made] == [0, 0]
    assert len({traceparent.ids(each)[0] for each in made}) == 1


def test_without_an_sdk_traces_travel_as_without_the_app(post: SimpleNamespace, broker: None) -> None:
    flow = Flow()
    with traceparent.continued_from(OUTSIDE):
        first = flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run()
    flows.sent(_sent(first))

    made = [traceparent.ids(row.body["traceparent"]) for row in OutboxEvent.objects.all()]
    assert {trace_id for trace_id, _ in made} == {traceparent.ids(OUTSIDE)[0]}
    assert len({traceparent.ids(OUTSIDE)[1], *(span_id for _, span_id in made)}) == 3
    assert all("tracestate" not in row.body for row in OutboxEvent.objects.all())


def test_rehearsed_event_has_no_span(post: SimpleNamespace, spans: Spans) -> None:
    rehearsal: list[Any] = []
    cause = Cause(
        event_id="1",
        correlation_id="a-flow",
        traceparent=OUTSIDE,
        workflow="desk.stamp_letter",
        emits=frozenset({"letters.letter_written.v1"}),
        rehearsal=rehearsal,
    )
    with caused_by(cause):
        _record(post)

    assert (len(rehearsal), spans()) == (1, [])
