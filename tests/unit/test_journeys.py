from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from microworkflows import (
    DomainEvent,
    PermanentError,
    heartbeats,
    inbox,
    journeys,
    microworkflow,
    registry,
    times,
    traceparent,
    unreceived,
)
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.ids import uuid7
from microworkflows.journeys import DeliveryStatus, RelayStatus
from microworkflows.models import Heartbeat, InboxEvent, OutboxEvent
from microworkflows.templatetags.microworkflows import mw_tone
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db


def listen(post: SimpleNamespace, name: str, *, context: str) -> None:
    """Declare one more microworkflow that listens to written letters, as a deployment does."""

    def function(event: object) -> None:
        post.calls.append((name, event))

    function.__name__ = name
    microworkflow(on=post.WrittenAtDesk, context=context)(function)


def test_journey_tells_each_event_in_order_and_who_emitted_it(post: SimpleNamespace, flow: Flow) -> None:
    letter_id = uuid4()
    flow.record(post.LetterWritten(letter_id=letter_id), correlation_id="letter-1")
    flow.run()

    journey = journeys.journey("letter-1")

    written, stamped = journey.steps
    assert (written.name, written.emitted_by, written.cause, written.depth) == (
        "Letter written",
        "letters",
        None,
        0,
    )
    assert (stamped.name, stamped.emitted_by, stamped.depth) == ("Letter stamped", "desk.stamp_letter", 1)
    assert (stamped.cause, stamped.causation_id) == ("Letter written", str(written.id))
    assert stamped.hop == stamped.recorded_at - written.recorded_at
    assert stamped.payload == {"letter_id": str(letter_id)}
    assert journey.settled
    assert not journey.failed


def test_delivery_tells_how_long_the_event_waited_and_what_came_of_it(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    InboxEvent.objects.of_deliveries([("desk.stamp_letter", meta.id)]).update(
        added=times.stored(meta.time + timedelta(seconds=2))
    )

    written, stamped = journeys.journey(meta.correlation_id).steps

    (delivery,) = written.deliveries
    assert (delivery.label, delivery.status) == ("desk.stamp_letter", DeliveryStatus.HANDLED)
    assert delivery.wait == timedelta(seconds=2)
    assert delivery.handled_at == delivery.received_at == meta.time + timedelta(seconds=2)
    assert delivery.emitted == (stamped.id,)


def test_flow_is_not_settled_while_an_event_is_pending(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))

    journey = journeys.journey(meta.correlation_id)

    (step,) = journey.steps
    assert step.relay.status is RelayStatus.PENDING
    assert step.relay.due_at is None
    assert [delivery.status for delivery in step.deliveries] == [DeliveryStatus.EXPECTED]
    assert step.deliveries[0].wait is None
    assert not journey.settled


def test_flow_is_not_settled_while_a_relayed_event_is_expected_somewhere(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    OutboxEvent.objects.filter(pk=meta.id).update(status=OutboxEvent.Status.RELAYED)

    journey = journeys.journey(meta.correlation_id)

    assert not journey.settled


def test_waiting_delivery_tells_its_error_and_its_next_attempt(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = ConnectionError("no ink")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)

    journey = journeys.journey(meta.correlation_id)

    (delivery,) = journey.deliveries
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.WAITING, 1)
    assert delivery.error == "ConnectionError: no ink"
    assert delivery.due_at == flow.waiting[0].due_at
    assert delivery.handled_at is None
    assert not journey.settled
    assert not journey.failed


def test_delivery_handled_after_a_failure_tells_when_and_no_longer_its_error(
    post: SimpleNamespace, flow: Flow
) -> None:
    post.fail = ConnectionError("no ink")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None
    flow.retry()

    delivery = journeys.journey(meta.correlation_id).steps[0].deliveries[0]

    assert (delivery.status, delivery.attempts, delivery.error) == (DeliveryStatus.HANDLED, 1, None)
    assert delivery.handled_at is not None
    assert delivery.received_at is not None
    assert delivery.handled_at > delivery.received_at


def test_replayed_delivery_is_due_at_once(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = PermanentError("torn")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    InboxEvent.objects.parked().replay(by="clerk")

    (delivery,) = journeys.journey(meta.correlation_id).deliveries

    assert (delivery.status, delivery.due_at) == (DeliveryStatus.WAITING, None)


def test_flow_with_a_parked_delivery_is_settled_and_failed(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = PermanentError("torn")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)

    journey = journeys.journey(meta.correlation_id)

    (delivery,) = journey.deliveries
    assert (delivery.status, delivery.error) == (DeliveryStatus.PARKED, "PermanentError: torn")
    assert delivery.due_at is None
    assert journey.settled
    assert journey.failed


def test_unheard_event_is_missed_by_those_who_listen(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    OutboxEvent.objects.filter(pk=meta.id).update(status=OutboxEvent.Status.UNHEARD)

    journey = journeys.journey(meta.correlation_id)

    assert [delivery.status for delivery in journey.deliveries] == [DeliveryStatus.MISSED]
    assert journey.settled
    assert journey.failed


def test_unheard_event_that_nobody_listens_to_is_no_failure(post: SimpleNamespace, flow: Flow) -> None:
    class LetterLost(DomainEvent, type="letters.letter_lost.v1"):
        pass

    meta = flow.record(LetterLost())
    flow.run()

    journey = journeys.journey(meta.correlation_id)

    assert journey.steps[0].relay.status is RelayStatus.UNHEARD
    assert journey.deliveries == ()
    assert journey.settled
    assert not journey.failed


def test_event_that_the_broker_refused_tells_why(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    due_at = meta.time + timedelta(seconds=4)
    headers = {"microworkflow": None, "error": "nacked"}
    OutboxEvent.objects.filter(pk=meta.id).update(retry=2, expires_at=times.stored(due_at), headers=headers)

    (step,) = journeys.journey(meta.correlation_id).steps

    assert (step.relay.attempts, step.relay.error, step.relay.due_at) == (2, "nacked", due_at)


def test_message_parked_by_a_context_that_does_not_listen_is_shown(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    inbox.receive(OutboxEvent.objects.get(pk=meta.id).body, queue="archive")

    written = journeys.journey(meta.correlation_id).steps[0]

    assert [(delivery.label, delivery.status) for delivery in written.deliveries] == [
        ("archive", DeliveryStatus.PARKED),
        ("desk.stamp_letter", DeliveryStatus.HANDLED),
    ]


def test_event_of_another_service_is_part_of_the_journey_of_what_it_caused(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = Metadata(
        id=uuid7(),
        source="/letters",
        type="letters.letter_written.v1",
        time=datetime.now(UTC),
        correlation_id="letter-2",
        causation_id=None,
        traceparent=traceparent.new(),
    )
    inbox.receive(CloudEvent(meta=meta, data={"letter_id": str(uuid4())}).to_dict(), queue="desk")

    written, stamped = journeys.journey("letter-2").steps

    assert (written.id, written.relay.status, written.emitted_by) == (meta.id, RelayStatus.FOREIGN, "letters")
    assert (stamped.cause, stamped.emitted_by) == ("Letter written", "desk.stamp_letter")


def test_event_of_another_service_that_caused_nothing_here_is_part_of_the_journey_too(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    OutboxEvent.objects.all().delete()  # as if another service had recorded all of it

    steps = journeys.journey(meta.correlation_id).steps

    assert {step.relay.status for step in steps} == {RelayStatus.FOREIGN}
    assert steps[0].id == meta.id
    assert steps[0].deliveries


def test_foreign_cause_whose_id_is_no_uuid_does_no_harm(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    row = OutboxEvent.objects.get(pk=meta.id)
    OutboxEvent.objects.filter(pk=meta.id).update(body=row.body | {"causationid": "from-afar"})

    (step,) = journeys.journey(meta.correlation_id).steps

    assert (step.causation_id, step.cause, step.hop, step.depth) == ("from-afar", None, None, 0)


def test_no_event_stands_before_its_cause_whatever_the_clocks_say(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    effect = OutboxEvent.objects.get(destination=post.LetterStamped.event_type)
    OutboxEvent.objects.filter(pk=effect.pk).update(body=effect.body | {"time": "2001-01-01T00:00:00Z"})

    journey = journeys.journey(meta.correlation_id)

    assert [step.name for step in journey.steps] == ["Letter written", "Letter stamped"]
    assert journey.began_at == datetime(2001, 1, 1, tzinfo=UTC)


def test_journey_shows_its_own_flow_alone(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=UUID(int=1)), correlation_id="letter-1")
    flow.record(post.LetterWritten(letter_id=UUID(int=2)), correlation_id="letter-2")
    flow.run()

    journey = journeys.journey("letter-2")

    assert {(step.payload or {})["letter_id"] for step in journey.steps} == {str(UUID(int=2))}


def test_journey_takes_two_queries_however_long_it_is(
    post: SimpleNamespace, flow: Flow, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    @microworkflow(on=post.WrittenAtDesk, emits=[post.LetterStamped], context="desk")
    def stamp_copy(event: object) -> DomainEvent:
        stamped: DomainEvent = post.LetterStamped(letter_id=uuid4())
        return stamped

    for _ in range(3):
        flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letters")
    flow.run()

    with django_assert_num_queries(2):
        journey = journeys.journey("letters")

    assert len(journey.steps) == 9
    assert journey.handled == len(journey.deliveries) == 12


def test_long_flow_is_cut_after_its_first_events(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = (
        flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letters") for _ in range(3)
    )
    assert not journeys.journey("letters").cut
    monkeypatch.setattr(journeys, "MOST_EVENTS", 2)

    journey = journeys.journey("letters")

    assert journey.cut
    assert len(journey.steps) == 2
    assert journey.steps[0].id == first.id


def test_microworkflow_of_today_is_not_expected_to_have_heard_what_was_recorded_before(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    before = journeys.journey(meta.correlation_id)

    listen(post, "weigh_letter", context="scales")
    listen(post, "weigh_again", context="desk")

    assert journeys.journey(meta.correlation_id) == before
    assert before.settled
    until = times.now() + timedelta(minutes=1)
    assert unreceived.count(since=meta.time, until=until) == {}


def test_microworkflow_of_today_is_expected_to_hear_what_is_pending(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    listen(post, "weigh_letter", context="scales")

    (step,) = journeys.journey(meta.correlation_id).steps

    assert [delivery.label for delivery in step.deliveries] == ["desk.stamp_letter", "scales.weigh_letter"]


def test_event_that_a_worker_took_before_it_had_a_microworkflow_is_expected_and_counted_until_it_is_relayed_again(
    post: SimpleNamespace, flow: Flow
) -> None:
    with registry.isolated():
        listen(post, "weigh_letter", context="desk")
        meta = flow.record(post.LetterWritten(letter_id=uuid4()))  # by a web server with the new code
    flow.run()  # and received by a worker with the old
    listen(post, "weigh_letter", context="desk")
    until = times.now() + timedelta(minutes=1)

    before = journeys.journey(meta.correlation_id)
    missing = unreceived.count(since=meta.time, until=until)
    flow.deliver(meta)

    assert [delivery.label for delivery in before.deliveries if delivery.open] == ["desk.weigh_letter"]
    assert list(missing) == [("letters.letter_written.v1", "desk.weigh_letter")]
    assert journeys.journey(meta.correlation_id).settled
    assert not unreceived.count(since=meta.time, until=until)


def test_of_an_event_that_an_earlier_version_recorded_all_that_listen_are_expected(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    OutboxEvent.objects.update(headers={"microworkflow": None})
    listen(post, "weigh_letter", context="scales")

    assert not journeys.journey(meta.correlation_id).settled


def test_microworkflow_that_was_renamed_is_expected_until_its_context_has_the_event(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    row = OutboxEvent.objects.get(pk=meta.id)
    row.headers |= {"listeners": {"desk.put_stamp_on": True}}
    row.status = OutboxEvent.Status.RELAYED
    row.save()

    before = journeys.journey(meta.correlation_id)
    flow.deliver(meta)
    after = journeys.journey(meta.correlation_id)

    assert [(delivery.label, delivery.open) for delivery in before.deliveries] == [
        ("desk.put_stamp_on", True)
    ]
    assert [delivery.label for delivery in after.steps[0].deliveries] == ["desk.stamp_letter"]


def test_of_another_services_event_those_are_expected_that_listened_when_their_context_received_it(
    post: SimpleNamespace, flow: Flow
) -> None:
    listen(post, "weigh_letter", context="desk")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    OutboxEvent.objects.all().delete()
    InboxEvent.objects.filter(msg_id__startswith="desk.weigh_letter:").delete()  # its turn has not come yet
    listen(post, "frame_letter", context="desk")

    (written, stamped) = journeys.journey(meta.correlation_id).steps

    assert {delivery.label: str(delivery.status) for delivery in written.deliveries} == {
        "desk.stamp_letter": "handled",
        "desk.weigh_letter": "expected",
    }
    assert [str(delivery.status) for delivery in stamped.deliveries] == ["handled"]


def test_what_a_purge_has_deleted_is_unknown_and_neither_expected_nor_settled(
    post: SimpleNamespace, flow: Flow
) -> None:
    listen(post, "weigh_letter", context="desk")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    _age(days=40)
    OutboxEvent.objects.all().delete()
    InboxEvent.objects.filter(msg_id__startswith="desk.weigh_letter:").delete()

    journey = journeys.journey(meta.correlation_id)

    assert [step.relay.status for step in journey.steps] == [RelayStatus.PURGED, RelayStatus.PURGED]
    assert {delivery.label: str(delivery.status) for delivery in journey.steps[0].deliveries} == {
        "desk.stamp_letter": "handled",
        "desk.weigh_letter": "purged",
    }
    assert (journey.open, journey.unknown, journey.settled, journey.failed) == (False, True, False, False)
    assert mw_tone(journey) == mw_tone(journey.steps[0]) == "idle"


def test_event_that_is_younger_than_all_that_was_purged_is_anothers(
    post: SimpleNamespace, flow: Flow, settings: Any
) -> None:
    settings.MICROWORKFLOWS = {"RETENTION_DAYS": 60}
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    _age(days=40)
    OutboxEvent.objects.filter(pk=meta.id).delete()

    written, _ = journeys.journey(meta.correlation_id).steps

    assert written.relay.status is RelayStatus.FOREIGN


def _age(*, days: int) -> None:
    """Do as if everything had happened days ago."""
    then = times.now() - timedelta(days=days)
    InboxEvent.objects.update(added=then, expires_at=then)
    OutboxEvent.objects.update(added=then)
    for model in (InboxEvent, OutboxEvent):
        for row in model.objects.all():
            row.body |= {"time": times.aware(then).isoformat()}
            row.save(update_fields=["body"])


def test_journey_names_the_contexts_that_it_waits_for_in_vain(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    _note_worker("letters")
    pending = journeys.absences(journeys.journey("letter-1"))
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)
    relayed = journeys.absences(journeys.journey("letter-1"))
    _note_worker("desk")
    Heartbeat.objects.filter(queue="desk").update(seen_at=times.stored(datetime(2026, 1, 1, tzinfo=UTC)))

    (silent,) = journeys.absences(journeys.journey("letter-1"))

    assert [(each.context, each.seen_at) for each in pending] == [("desk", None)]
    assert relayed == pending
    assert (silent.context, silent.seen_at) == ("desk", datetime(2026, 1, 1, tzinfo=UTC))


def test_journey_waits_for_the_relay_of_what_is_pending(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    _note_worker("desk")

    (relay,) = journeys.absences(journeys.journey("letter-1"))

    assert relay.context == "letters"


def test_flow_that_waits_for_nobody_asks_for_no_worker(
    post: SimpleNamespace, flow: Flow, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    flow.run()
    settled = journeys.journey("letter-1")

    with django_assert_num_queries(0):
        assert journeys.absences(settled) == ()


def _note_worker(context: str) -> None:
    process = heartbeats.Process(worker=f"{context}@here", host="here", pid=1, started_at=times.now())
    heartbeats.note(process, depths={context: 0}, handling=0)


def test_unknown_flow_has_no_steps(empty_registry: None) -> None:
    journey = journeys.journey("never-begun")

    assert journey.steps == ()
    assert journey.began_at is None
    assert journey.duration is None


def test_duration_ends_with_the_last_handling(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    InboxEvent.objects.filter(msg_id__startswith="archive.").update(
        added=times.stored(meta.time + timedelta(seconds=90))
    )

    journey = journeys.journey(meta.correlation_id)

    assert journey.duration == timedelta(seconds=90)


@pytest.mark.parametrize(
    ("event_type", "name"),
    [
        ("orders.order_accepted.v1", "Order accepted"),
        ("orders.order_accepted.v2", "Order accepted (v2)"),
        ("com.example.thing", "Com.example.thing"),
    ],
)
def test_event_has_a_name_for_people(event_type: str, name: str) -> None:
    assert journeys.event_name(event_type) == name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.0214, "21 ms"),
        (0.9999, "1.00 s"),
        (1.236, "1.24 s"),
        (59.999, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
    ],
)
def test_duration_is_said_in_units_for_people(seconds: float, text: str) -> None:
    assert journeys.human_duration(timedelta(seconds=seconds)) == text
