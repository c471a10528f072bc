"""The hooks by which a guest learns what happens: each is called once, with what, after the commit; with no guest, nothing is."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from microworkflows import DomainEvent, flows, inbox, microworkflow, outbox, times
from microworkflows.cloudevents import CloudEvent, Metadata
from microworkflows.errors import PermanentError
from microworkflows.flows import Attempt, Failure, Sent, TraceContext
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import companions, store
from microworkflows.relay.loop import Relay
from microworkflows.relay.publisher import Batch
from microworkflows.testing import Flow


class Listener(flows.Guest):
    """Notes what it learns, and whether a transaction was open then."""

    def __init__(self) -> None:
        self.handled_events: list[tuple[Attempt, list[UUID]]] = []
        self.failures: list[tuple[Attempt, Failure]] = []
        self.batches: list[Sent] = []
        self.others: list[Any] = []
        self.was_open: list[bool] = []

    def running(self, event: CloudEvent, *, consumer: str, number: int) -> AbstractContextManager[Any]:
        return self._run(consumer)

    @contextmanager
    def _run(self, consumer: str) -> Iterator[None]:
        self.others.append(("begins", consumer))
        try:
            yield
        finally:
            self.others.append(("ends", consumer))

    def handled(self, attempt: Attempt, emitted: Sequence[UUID]) -> None:
        self.was_open.append(connection.in_atomic_block)
        self.handled_events.append((attempt, list(emitted)))

    def failed(self, attempt: Attempt, failure: Failure) -> None:
        self.was_open.append(connection.in_atomic_block)
        self.failures.append((attempt, failure))

    def sent(self, batch: Sent) -> None:
        self.batches.append(batch)

    def beat(self, worker: str, *, depths: Mapping[str, int | None], handling: int) -> None:
        self.others.append(("beat", worker, dict(depths), handling))

    def acted(self, act: str, messages: Sequence[tuple[str, UUID]], *, by: str, why: str) -> None:
        self.others.append(("acted", act, list(messages), by, why))

    def stopped(self, worker: str) -> None:
        self.others.append(("stopped", worker))

    def led(self, context: str, leads: bool) -> None:
        self.others.append(("led", context, leads))

    def span(self, event: Metadata) -> TraceContext:
        return TraceContext(f"00-{'a' * 32}-{'b' * 16}-01")


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """A guest that listens, and no other."""
    monkeypatch.setattr(flows, "router", flows.Router())
    monkeypatch.setattr(flows, "_guests", [])
    guest = Listener()
    flows.register(guest)
    return guest


def _letter() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/letters",
        "type": "letters.letter_written.v1",
        "correlationid": "a-flow",
        "data": {"letter_id": str(uuid4())},
    }


def _relay(context: str) -> Relay:
    return Relay(context, broker=lambda: None, stop=threading.Event())  # type: ignore[arg-type, return-value]


@pytest.mark.django_db(transaction=True)
def test_guest_learns_of_a_handled_event_once_and_after_the_commit(
    guest: Listener, post: SimpleNamespace
) -> None:
    letter = _letter()

    inbox.receive(letter, queue="desk")
    inbox.receive(letter, queue="desk")  # a duplicate

    ((attempt, emitted),) = guest.handled_events
    told = str(attempt.event.meta.id), attempt.consumer, attempt.number
    assert told == (letter["id"], "desk.stamp_letter", 1)
    assert (attempt.duration or 0) > 0
    assert emitted == [OutboxEvent.objects.get().pk]
    assert guest.was_open == [False]
    assert guest.others == [("begins", "desk.stamp_letter"), ("ends", "desk.stamp_letter")]
    assert OutboxEvent.objects.get().body["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.django_db(transaction=True)
def test_guest_learns_of_each_event_of_a_bundle(guest: Listener, post: SimpleNamespace) -> None:
    letters = [_letter() for _ in range(3)]

    inbox.receive_bundle(letters, queue="desk")

    told = [str(attempt.event.meta.id) for attempt, _ in guest.handled_events]
    assert told == [letter["id"] for letter in letters]
    recorded = {row.pk for row in OutboxEvent.objects.all()}
    assert {emitted[0] for _, emitted in guest.handled_events} == recorded
    assert guest.was_open == [False] * 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [1, 2])
def test_guest_learns_of_events_that_a_microworkflow_recorded_and_has_not_rolled_back(
    guest: Listener, post: SimpleNamespace, number: int
) -> None:
    class LetterCounted(DomainEvent, type="counter.letter_counted.v1"):
        letter_id: UUID

    @microworkflow(on=post.WrittenAtDesk, emits=[LetterCounted], context="counter")
    def count_letter(event: Any) -> LetterCounted:
        outbox.record(LetterCounted(letter_id=event.letter_id))
        with suppress(ValueError), transaction.atomic():
            outbox.record(LetterCounted(letter_id=event.letter_id))
            raise ValueError("miscounted")
        return LetterCounted(letter_id=event.letter_id)

    inbox.receive_bundle([_letter() for _ in range(number)], queue="counter")  # each alone, or together

    recorded = {row.pk: row.body["causationid"] for row in OutboxEvent.objects.all()}
    assert len(recorded) == 2 * number
    assert {
        each: str(attempt.event.meta.id) for attempt, ids in guest.handled_events for each in ids
    } == recorded


@pytest.mark.django_db(transaction=True)
def test_guest_learns_of_each_failed_attempt_with_its_number_and_reason(
    guest: Listener, post: SimpleNamespace
) -> None:
    letter, post.fail = _letter(), ValueError("no stamps")
    inbox.receive(letter, queue="desk")
    post.fail = PermanentError("no stamps for ever")

    inbox.receive(letter, queue="desk", attempt=1)

    (first, waits), (second, parks) = guest.failures
    assert (first.number, second.number) == (1, 2)
    assert (waits.error, waits.parked) == ("ValueError: no stamps", False)
    assert waits.due_at is not None
    assert "stamp_letter" in waits.traceback
    assert waits.fingerprint
    assert (parks.error, parks.parked, parks.due_at) == ("PermanentError: no stamps for ever", True, None)
    assert guest.was_open == [False, False]
    assert guest.handled_events == []


@pytest.mark.django_db(transaction=True)
def test_guest_that_cannot_take_it_in_changes_nothing_and_is_logged(
    guest: Listener, post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(guest, "handled", stumble)

    inbox.receive(_letter(), queue="desk")

    assert InboxEvent.objects.get().status == InboxEvent.Status.HANDLED
    assert OutboxEvent.objects.count() == 1
    (record,) = [each for each in caplog.records if "failed to take in" in each.getMessage()]
    assert record.exc_info is not None
    assert "Listener" in record.getMessage()


@pytest.mark.django_db
def test_without_a_guest_no_statement_and_no_object_is_made_for_one(
    guest: Listener, post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CaptureQueriesContext(connection) as with_guest:
        inbox.receive(_letter(), queue="desk")
        connection.cursor().close()  # in one trip, the event waits for the next statement or the commit
    monkeypatch.setattr(flows, "_guests", [])
    monkeypatch.setattr(flows, "Attempt", None)
    monkeypatch.setattr(flows, "Failure", None)

    with CaptureQueriesContext(connection) as without:
        inbox.receive(_letter(), queue="desk")
        connection.cursor().close()  # as above

    assert len(without) == len(with_guest), "the hooks ask the database nothing"
    post.fail = ValueError("no stamps")
    inbox.receive(_letter(), queue="desk")
    assert InboxEvent.objects.waiting().count() == 1


@pytest.mark.django_db
def test_guest_learns_in_the_relay_what_the_broker_made_of_a_batch(
    guest: Listener, post: SimpleNamespace
) -> None:
    with transaction.atomic():
        for _ in range(3):
            outbox.record(post.LetterWritten(letter_id=uuid4()))
    rows = store.due_events("letters", limit=10, now=times.now()).messages
    batch = Batch(messages=rows)
    batch.outcome.confirmed, batch.outcome.unheard = [rows[0].id], [rows[1].id]
    batch.outcome.rejected = {rows[2].id: "too large"}

    _relay("letters")._mark_events(batch)

    (sent,) = guest.batches
    assert sent.context == "letters"
    assert list(sent.relayed) == [(rows[0].id, rows[0].body)]
    assert list(sent.unheard) == [(rows[1].id, rows[1].body)]
    assert list(sent.rejected) == [(rows[2].id, rows[2].body, "too large")]


@pytest.mark.django_db(transaction=True)
def test_guest_learns_who_replayed_or_dismissed_which_messages(
    guest: Listener, post: SimpleNamespace
) -> None:
    post.fail = PermanentError("no stamps")
    letter = _letter()
    inbox.receive(letter, queue="desk")

    InboxEvent.objects.all().replay(by="ann", why="stamps have come")
    InboxEvent.objects.all().dismiss(by="bob", why="a test letter")

    messages = [("desk.stamp_letter", UUID(letter["id"]))]
    assert [each for each in guest.others if each[0] == "acted"] == [
        ("acted", "replayed", messages, "ann", "stamps have come"),
        ("acted", "dismissed", messages, "bob", "a test letter"),
    ]


@pytest.mark.django_db
def test_guest_learns_of_a_message_that_the_relay_parks(guest: Listener, post: SimpleNamespace) -> None:
    post.fail = ValueError("no stamps")
    inbox.receive(_letter(), queue="desk")

    store._park(InboxEvent.objects.get().pk, "too large for the broker", kind="rejected")

    attempt, failure = guest.failures[-1]
    assert (attempt.consumer, attempt.number, attempt.duration) == ("desk.stamp_letter", 2, None)
    assert (failure.error, failure.parked) == ("too large for the broker", True)


def test_guest_learns_of_lead_heartbeats_and_stop(guest: Listener) -> None:
    flows.led("desk", True)
    flows.beat("desk@host", depths={"desk": None}, handling=2)
    flows.stopped("desk@host")

    assert guest.others == [
        ("led", "desk", True),
        ("beat", "desk@host", {"desk": None}, 2),
        ("stopped", "desk@host"),
    ]


def test_guest_that_works_beside_a_relay_begins_anew_after_an_error(
    guest: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(companions, "_SHORTEST_WAIT_SECONDS", 0.01)
    begun, stop = threading.Semaphore(0), threading.Event()

    class Companion(flows.Guest):
        def beside_relay(self, contexts: Sequence[str], stop: threading.Event) -> None:
            begun.release()
            raise RuntimeError("no room")

    flows.register(Companion())
    (thread,) = companions.start([], stop)

    assert begun.acquire(timeout=20)
    assert begun.acquire(timeout=20), "it begins anew"
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert "begins anew" in caplog.text


def test_only_guests_that_work_beside_a_relay_get_a_thread(guest: Listener) -> None:
    assert companions.start(["desk"], threading.Event()) == []


@pytest.mark.django_db
def test_flow_in_a_test_tells_the_guests_too(guest: Listener, post: SimpleNamespace) -> None:
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))

    Flow().run()

    assert guest.others.count(("begins", "archive.file_letter")) == 1
