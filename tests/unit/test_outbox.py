from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pydantic import SecretStr
from pydantic.alias_generators import to_camel

from microworkflows import DomainEvent, IncomingEvent, causes, handling, masking, outbox, traceparent
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import TransactionRequiredError, UndeclaredEventError, UnrecordableEventError
from microworkflows.models import OutboxEvent
from microworkflows.relay import store
from microworkflows.sensitive import MASK


@pytest.fixture
def in_transaction(db: None) -> Iterator[None]:
    with transaction.atomic():
        yield


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused(post: SimpleNamespace) -> None:
    with pytest.raises(
        TransactionRequiredError, match=r"LetterWritten was recorded outside .* transaction.atomic"
    ):
        outbox.record(post.LetterWritten(letter_id=uuid4()))

    assert not OutboxEvent.objects.exists()


@pytest.mark.django_db
def test_transaction_of_a_test_case_is_none(post: SimpleNamespace) -> None:
    with pytest.raises(TransactionRequiredError, match=r"LetterWritten was recorded outside"):
        outbox.record(post.LetterWritten(letter_id=uuid4()))

    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))

    assert OutboxEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_event_of_a_transaction_that_rolls_back_was_never_recorded(post: SimpleNamespace) -> None:
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))
        transaction.set_rollback(True)

    assert not OutboxEvent.objects.exists()


@pytest.mark.usefixtures("in_transaction")
def test_recorded_row_holds_the_cloudevent_as_it_will_travel(post: SimpleNamespace) -> None:
    meta = outbox.record(post.LetterWritten(letter_id=UUID(int=7)), correlation_id="letter-7")

    row = OutboxEvent.objects.get()
    assert CloudEvent.from_dict(row.body).meta == meta
    assert (row.pk, row.type, row.version) == (meta.id, "letters.letter_written.v1", "v1")
    assert (row.context, row.correlation_id, row.causation_id) == ("letters", "letter-7", None)
    assert row.body["data"] == {"letter_id": str(UUID(int=7)), "postage": "1.10"}
    assert row.body["source"] == "/letters"
    assert (row.status, row.attempts, row.workflow) == (OutboxEvent.Status.PENDING, 0, None)


@pytest.mark.usefixtures("in_transaction")
def test_flow_is_named_by_its_first_event_unless_it_is_told_otherwise(post: SimpleNamespace) -> None:
    meta = outbox.record(post.LetterWritten(letter_id=uuid4()))

    assert meta.correlation_id == str(meta.id)


@pytest.mark.usefixtures("in_transaction")
@pytest.mark.parametrize(
    ("key", "flow"), [(42, "42"), (0, "0"), (UUID(int=7), str(UUID(int=7))), (Decimal("1.50"), "1.50")]
)
def test_key_of_any_kind_is_taken_as_text(post: SimpleNamespace, key: object, flow: str) -> None:
    meta = outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id=key)

    row = OutboxEvent.objects.get()
    assert row.correlation_id == meta.correlation_id == flow
    assert CloudEvent.from_dict(row.body).meta.correlation_id == flow


@pytest.mark.usefixtures("in_transaction")
@pytest.mark.parametrize("key", ["", User(username="clerk")])
def test_what_is_no_key_is_refused(post: SimpleNamespace, key: object) -> None:
    with pytest.raises(UnrecordableEventError, match=r"letters.letter_written.v1 .* correlation_id is "):
        outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id=key)


@pytest.mark.usefixtures("in_transaction")
def test_event_without_a_type_of_its_own_cannot_be_recorded(post: SimpleNamespace) -> None:
    class Untyped(DomainEvent):
        pass

    class Rewritten(post.LetterWritten):  # type: ignore[misc, name-defined]  # a class, made in a fixture
        pass

    for event in (Untyped(), Rewritten(letter_id=uuid4())):
        with pytest.raises(
            UndeclaredEventError, match=r'has no type of its own.*type="context.past_tense_fact.v1"'
        ):
            outbox.record(event)


@pytest.mark.usefixtures("in_transaction")
def test_several_events_are_recorded_in_one_statement_and_in_order(post: SimpleNamespace) -> None:
    letters = [post.LetterWritten(letter_id=UUID(int=n)) for n in range(20)]

    with CaptureQueriesContext(connection) as queries:
        outbox.record_all(letters)
        connection.cursor().close()  # in one trip, the event waits for the next statement or the commit

    assert len([query for query in queries if "INSERT" in query["sql"]]) == 1
    assert [row.body["data"]["letter_id"] for row in OutboxEvent.objects.pending()] == [
        str(UUID(int=n)) for n in range(20)
    ]
    assert outbox.record_all([]) == []


@pytest.mark.usefixtures("in_transaction")
def test_event_inherits_flow_and_trace_from_its_cause(post: SimpleNamespace) -> None:
    cause = causes.Cause(
        event_id="cause-1",
        correlation_id="flow-1",
        traceparent=traceparent.new(),
        workflow="desk.stamp_letter",
        emits=frozenset({"desk.letter_stamped.v1"}),
    )

    with causes.caused_by(cause):
        meta = outbox.record(post.LetterStamped(letter_id=uuid4()), correlation_id="ignored")

    assert (meta.causation_id, meta.correlation_id) == ("cause-1", "flow-1")
    assert meta.traceparent.split("-")[1] == cause.traceparent.split("-")[1]
    assert OutboxEvent.objects.get().workflow == "desk.stamp_letter"


@pytest.mark.usefixtures("in_transaction")
def test_names_on_the_wire_are_those_that_readings_look_for(empty_registry: None) -> None:
    class CardTaken(DomainEvent, type="bank.card_taken.v1", alias_generator=to_camel, populate_by_name=True):
        card_holder: str
        security_code: SecretStr

    class TakenCard(IncomingEvent, type="bank.card_taken.v1", alias_generator=to_camel):
        card_holder: str
        security_code: SecretStr

    outbox.record(CardTaken(card_holder="A. Clerk", security_code=SecretStr("123")))

    recorded = CloudEvent.from_dict(OutboxEvent.objects.get().body)
    assert recorded.data == {"cardHolder": "A. Clerk", "securityCode": "123"}
    for reading in (CardTaken, TakenCard):
        event = reading.from_cloud_event(recorded)
        assert (event.card_holder, event.security_code.get_secret_value()) == ("A. Clerk", "123")
    assert masking.data("bank.card_taken.v1", recorded.data) == {
        "cardHolder": "A. Clerk",
        "securityCode": MASK,
    }


@pytest.mark.usefixtures("in_transaction")
def test_event_counts_the_events_that_led_to_it(post: SimpleNamespace) -> None:
    first = outbox.record(post.LetterWritten(letter_id=uuid4()))
    event = CloudEvent.from_dict(OutboxEvent.objects.get().body)

    with causes.caused_by(handling.cause(post.stamp_letter, event)):
        second = outbox.record(post.LetterStamped(letter_id=uuid4()))

    body = OutboxEvent.objects.get(pk=second.id).body
    assert "microworkflowshops" not in event.to_dict()
    assert (first.hops, second.hops, body["microworkflowshops"]) == (0, 1, 1)
    assert CloudEvent.from_dict(body).meta.hops == 1
    assert CloudEvent.from_dict(body).extensions == {}


@pytest.mark.usefixtures("in_transaction")
def test_microworkflow_cannot_record_behind_the_back_of_its_declaration(post: SimpleNamespace) -> None:
    cause = causes.Cause(
        event_id="1",
        correlation_id="1",
        traceparent=traceparent.new(),
        workflow="desk.x",
        emits=frozenset(),
    )

    with (
        causes.caused_by(cause),
        pytest.raises(UndeclaredEventError, match=r"desk.x recorded letters.letter_written.v1"),
    ):
        outbox.record(post.LetterWritten(letter_id=uuid4()))


@pytest.mark.usefixtures("in_transaction")
def test_event_two_days_old_is_still_due(post: SimpleNamespace) -> None:
    meta = outbox.record(post.LetterWritten(letter_id=uuid4()))
    OutboxEvent.objects.update(added=timezone.now() - timedelta(days=2))

    due = store.due_events("letters", limit=10, now=timezone.now()).messages

    assert [message.id for message in due] == [meta.id]


@pytest.mark.usefixtures("in_transaction")
def test_relay_of_a_context_sees_its_events_alone(post: SimpleNamespace) -> None:
    outbox.record(post.LetterWritten(letter_id=uuid4()))

    assert store.due_events("desk", limit=10, now=timezone.now()).messages == []
    assert store.due_events("letter", limit=10, now=timezone.now()).messages == []


@pytest.mark.usefixtures("in_transaction")
def test_unheard_and_rejected_events_alone_are_relayed_again(post: SimpleNamespace) -> None:
    for _ in range(4):
        outbox.record(post.LetterWritten(letter_id=uuid4()))
    relayed, unheard, rejected, _ = OutboxEvent.objects.order_by("pk")
    OutboxEvent.objects.filter(pk=relayed.pk).update(status=OutboxEvent.Status.RELAYED)
    OutboxEvent.objects.filter(pk=unheard.pk).update(status=OutboxEvent.Status.UNHEARD)
    OutboxEvent.objects.filter(pk=rejected.pk).update(status=OutboxEvent.Status.REJECTED)

    assert OutboxEvent.objects.all().relay_again() == 2

    assert OutboxEvent.objects.pending().count() == 3
    assert OutboxEvent.objects.get(pk=relayed.pk).status == OutboxEvent.Status.RELAYED


@pytest.mark.usefixtures("in_transaction")
def test_events_of_a_flow_are_found_by_index(post: SimpleNamespace) -> None:
    outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id="a")
    outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id="b")

    rows = OutboxEvent.objects.of_flow("b")

    assert [row.correlation_id for row in rows] == ["b"]
    assert "microworkflows_flow" in _plan(rows.order_by())


@pytest.mark.usefixtures("in_transaction")
def test_relay_finds_what_is_due_by_the_partial_index() -> None:
    with CaptureQueriesContext(connection) as queries:
        store.due_events("letters", limit=10, now=timezone.now())

    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {queries[0]['sql']}")
        assert "microworkflows_pending" in str(cursor.fetchall())


def _plan(rows: "object") -> str:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return str(rows.explain())  # type: ignore[attr-defined]


@pytest.mark.usefixtures("in_transaction")
def test_reading_of_another_contexts_event_cannot_be_recorded(post: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="WrittenAtDesk is a reading"):
        outbox.record(post.WrittenAtDesk(letter_id=uuid4()))

    assert not OutboxEvent.objects.exists()


@pytest.mark.usefixtures("in_transaction")
def test_very_many_events_are_recorded_in_their_order(post: SimpleNamespace) -> None:
    events = [post.LetterWritten(letter_id=UUID(int=number)) for number in range(4_001)]

    outbox.record_all(events)

    rows = OutboxEvent.objects.order_by("pk").values_list("body", flat=True)
    assert [UUID(body["data"]["letter_id"]).int for body in rows] == list(range(4_001))
