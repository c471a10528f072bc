"""What the relay does about each answer of the broker; the broker is a stand-in, the outbox is real."""

import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import amqp
import pytest
from django.db import OperationalError
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings

from microworkflows import times
from microworkflows.errors import BrokerUnavailableError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import outages, pipeline, publisher, store
from microworkflows.relay.loop import Relay
from microworkflows.relay.publisher import Batch, Message, Outcome
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db


class StandIn:
    """Takes every message but those that ``refuses`` closes the channel on."""

    def __init__(self, refuses: Callable[[Message], Exception | None]) -> None:
        self.taken: list[UUID] = []
        self.batches: list[int] = []
        self._refuses = refuses

    def send(self, messages: Sequence[Message]) -> Batch:
        self.batches.append(len(messages))
        batch = Batch(messages=messages)
        for message in messages:
            if error := self._refuses(message):
                batch.outcome.error = error
                break
            self.taken.append(message.id)
            batch.outcome.confirmed.append(message.id)
        return batch

    def settle(self, batch: Batch) -> Outcome:
        return batch.outcome

    def close(self) -> None: ...


@pytest.fixture
def relay(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[Message], Exception | None]], tuple[Relay, StandIn]]:
    def make(refuses: Callable[[Message], Exception | None]) -> tuple[Relay, StandIn]:
        stand_in = StandIn(refuses)
        monkeypatch.setattr(pipeline, "connect", lambda connection, **_: (stand_in, []))
        broker = lambda: Connection("amqp://nowhere")  # noqa: E731
        return Relay("letters", broker=broker, stop=threading.Event()), stand_in

    return make


def _recorded(post: SimpleNamespace, flow: Flow, number: int) -> list[UUID]:
    return [flow.record(post.LetterWritten(letter_id=uuid4())).id for _ in range(number)]


def _relay_all(relay: Relay) -> None:
    for _ in range(100):
        if not relay._relay_events():
            return
    raise AssertionError("The relay goes round in circles.")


def test_one_message_that_the_broker_refuses_holds_up_nothing_and_repeats_nothing(
    post: SimpleNamespace, flow: Flow, relay: Any, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 60}  # a busy machine is not to come to the second attempt
    recorded = _recorded(post, flow, 40)
    bad = recorded[17]
    refusal = amqp.PreconditionFailed("message too large")
    ours, broker = relay(lambda message: refusal if message.id == bad else None)

    _relay_all(ours)

    assert broker.taken == [event for event in recorded if event != bad]
    (row,) = OutboxEvent.objects.pending()
    assert (row.pk, row.attempts) == (bad, 1)
    assert "message too large" in (row.error or "")
    assert row.due_at > datetime.now(UTC)


def test_batches_grow_again_after_the_refused_message_was_found(
    post: SimpleNamespace, flow: Flow, relay: Any
) -> None:
    recorded = _recorded(post, flow, 100)
    ours, broker = relay(lambda message: amqp.NotFound("gone") if message.id == recorded[0] else None)

    _relay_all(ours)

    assert broker.batches[:2] == [100, 1]
    assert max(broker.batches[2:]) > 30


def test_broker_that_goes_away_costs_no_attempt_and_loses_nothing(
    post: SimpleNamespace, flow: Flow, relay: Any
) -> None:
    recorded = _recorded(post, flow, 10)
    ours, broker = relay(lambda message: ConnectionResetError("gone") if message.id == recorded[4] else None)

    with pytest.raises(BrokerUnavailableError, match="ConnectionResetError: gone"):
        _relay_all(ours)

    assert broker.taken == recorded[:4]
    assert [row.pk for row in OutboxEvent.objects.pending()] == recorded[4:]
    assert set(OutboxEvent.objects.values_list("retry", flat=True)) == {0}


def test_nacked_message_stays_pending_with_backoff_and_the_reason(post: SimpleNamespace, flow: Flow) -> None:
    nacked, confirmed, unheard, untold = _recorded(post, flow, 4)
    now = timezone.now()

    store.mark_events(
        Outcome(confirmed=[confirmed], unheard=[unheard], refused={nacked: "queue is full"}), now=now
    )

    rows = OutboxEvent.objects.in_bulk()
    assert (rows[nacked].status, rows[nacked].attempts, rows[nacked].error) == (1, 1, "queue is full")
    assert rows[nacked].due_at > times.aware(now)
    assert rows[confirmed].status == OutboxEvent.Status.RELAYED
    assert rows[unheard].status == OutboxEvent.Status.UNHEARD
    assert [message.id for message in store.due_events("letters", limit=9, now=now).messages] == [untold]


def test_error_that_nobody_foresaw_ends_neither_a_relay_nor_its_neighbour(
    post: SimpleNamespace, relay: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, _ = relay(lambda message: None)
    monkeypatch.setattr("microworkflows.relay.outages.random.uniform", lambda low, high: 0.01)
    rounds: Any = iter([RuntimeError("a bug"), RuntimeError("a bug"), None])

    def lead() -> None:
        if (error := next(rounds)) is not None:
            raise error
        ours._stop.set()

    monkeypatch.setattr(ours, "_lead", lead)

    ours.run()

    (crash,) = [record for record in caplog.records if "a bug" in record.getMessage()]
    assert crash.levelname == "ERROR"
    assert crash.exc_info, "told once with its traceback, though it came twice"
    assert not list(rounds)


def test_batch_of_large_events_is_bounded_in_bytes_and_none_is_left(
    post: SimpleNamespace, flow: Flow, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = _recorded(post, flow, 40)
    size = len(json.dumps(OutboxEvent.objects.get(pk=recorded[0]).body))
    monkeypatch.setattr(store, "BATCH_BYTES", int(2.5 * size))
    ours, broker = relay(lambda message: None)

    _relay_all(ours)

    assert broker.taken == recorded
    assert max(broker.batches) == 3
    assert not OutboxEvent.objects.pending().exists()


def test_event_larger_than_a_batch_travels_alone(
    post: SimpleNamespace, flow: Flow, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH_BYTES", 1)
    recorded = _recorded(post, flow, 3)
    ours, broker = relay(lambda message: None)

    _relay_all(ours)

    assert (broker.taken, broker.batches) == (recorded, [1, 1, 1])


def test_large_messages_to_be_retried_are_bounded_in_bytes(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    post.fail = ValueError("later")
    _recorded(post, flow, 5)
    flow.run(keep_failures=True)
    monkeypatch.setattr(store, "BATCH_BYTES", 1)

    due = store.due_retries("desk", limit=10, now=timezone.now() + timedelta(days=1))

    assert len(due) == 1


def test_event_that_is_too_large_for_the_broker_is_rejected_and_relayed_again_on_demand(
    post: SimpleNamespace, flow: Flow, relay: Any
) -> None:
    bad, good = _recorded(post, flow, 2)
    refusal = amqp.PreconditionFailed("message size 200 is larger than configured max size 100", (60, 40))
    refusals = {bad: refusal}
    ours, broker = relay(lambda message: refusals.get(message.id))

    _relay_all(ours)

    (row,) = OutboxEvent.objects.rejected()
    assert (row.pk, row.attempts) == (bad, 0)
    assert "message size 200 is larger" in (row.error or "")
    refusals.clear()
    assert OutboxEvent.objects.all().relay_again() == 1
    _relay_all(ours)
    assert broker.taken == [good, bad]
    assert not OutboxEvent.objects.rejected().exists()


def test_outage_is_told_once_and_again_each_minute_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    outage = outages.Outage("letters")

    waits = [outage.after(BrokerUnavailableError("refused,\ntwice")) for _ in range(20)]
    now.seconds = 61
    outage.after(BrokerUnavailableError("refused"))
    outage.after(OperationalError("gone"))
    outage.end()
    outage.end()

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    start = "relay letters: waits for the"
    rest = "and tries again every 10 s at the latest, nothing is lost:"
    assert lines == [
        ("WARNING", f"{start} broker {rest} refused, twice"),
        ("WARNING", f"{start} broker {rest} refused"),
        ("WARNING", f"{start} database {rest} gone"),
        ("INFO", "relay letters: goes on after 61.0 s"),
    ]
    assert waits[0] <= 0.2
    assert 5 <= waits[-1] <= 10


def test_message_to_be_retried_that_is_too_large_for_the_broker_is_parked_with_the_reason(
    post: SimpleNamespace, flow: Flow
) -> None:
    post.fail = ValueError("later")
    _recorded(post, flow, 2)
    flow.run(keep_failures=True)
    rejected, other = flow.waiting
    now = timezone.now() + timedelta(days=1)

    store.mark_retries(Outcome(rejected={rejected.pk: "too large"}, confirmed=[other.pk]), now=now)

    (parked,) = InboxEvent.objects.parked()
    assert (parked.pk, parked.error) == (rejected.pk, "too large")
    assert [row.pk for row in InboxEvent.objects.waiting()] == [other.pk]


def test_message_to_be_retried_that_no_worker_would_let_in_is_parked_with_the_reason(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    post.fail = ValueError("later")
    _recorded(post, flow, 2)
    flow.run(keep_failures=True)
    long, other = flow.waiting
    InboxEvent.objects.filter(pk=long.pk).update(body={**long.body, "correlationid": "x" * 256})
    now = timezone.now() + timedelta(days=1)

    assert [message.id for message in store.due_retries("desk", limit=9, now=now)] == [other.pk]

    (parked,) = InboxEvent.objects.parked()
    assert (parked.pk, parked.error) == (
        long.pk,
        "InvalidCloudEventError: correlationid has 256 characters; at most 255 are allowed.",
    )
    settings.MICROWORKFLOWS = {"MAX_EVENT_BYTES": 10}
    assert store.due_retries("desk", limit=9, now=now) == []
    assert InboxEvent.objects.parked().count() == 2


def test_missing_route_to_the_broker_is_told_in_words() -> None:
    blackhole = OSError(22, "Invalid argument")  # what Linux says of one

    said = publisher.reason(blackhole)
    assert said == "no route leads there, or whoever is there hangs up at once ([Errno 22] Invalid argument)"
    assert (
        publisher.reason(ConnectionRefusedError(111, "refused"))
        == "ConnectionRefusedError: [Errno 111] refused"
    )


def test_relay_that_finds_no_table_says_to_migrate(caplog: pytest.LogCaptureFixture) -> None:
    outages.Outage("desk").after(OperationalError("no such table: published"))

    assert "waits for the database" in caplog.text
    assert "no such table: published (run: manage.py migrate)" in caplog.text
