"""Redelivery by the relay, against a worker that is quicker than the relay's own notes."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from kombu import Connection
from pytest_django import Settings

from microworkflows import failures, inbox, times
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import loop, publisher, session, store
from microworkflows.relay.publisher import Message, Outcome
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture
def failing(database: str, probe: None, tmp_path: Path) -> dict[str, object]:
    """Return an event whose handler fails each time, and that has failed once and is due again."""
    event: dict[str, object] = json.loads(
        cloud_event(behaviour="fail", file=str(tmp_path / "trace"), times=1000)
    )
    inbox.receive(event, queue="probe")
    _make_due()
    return event


def test_attempt_that_failed_before_the_lease_was_noted_keeps_its_own_next_time(
    failing: dict[str, object], settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 2.0, "REDELIVERY_LEASE": 600.0}
    found = timezone.now()
    (message,) = store.due_retries("probe", limit=10, now=found)
    # The worker has it, and fails, before the relay notes that it was relayed.
    inbox.receive(failing, queue="probe", attempt=message.attempt)

    store.mark_retries(Outcome(confirmed=[message.id]), now=found)

    row = InboxEvent.objects.get()
    assert row.attempts == 2
    assert row.due_at < timezone.now() + timedelta(seconds=10)


def test_redelivered_message_that_nobody_takes_is_redelivered_after_the_lease(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 1.0}
    relay(broker.url)

    taken = broker.take("probe", 2)

    assert {each.event["id"] for each in taken} == {failing["id"]}
    assert broker.count("echo") == 0  # it comes back to its own context alone


def test_queue_that_nobody_empties_gets_no_more_copies_than_there_is_room_for(
    failing: dict[str, object],
    relay: StartRelay,
    broker: Broker,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.05, "REDELIVERY_LEASE": 0.1, "RETRY_DELAY": 0.1}
    monkeypatch.setattr(loop, "_MOST_IN_QUEUE", 5)
    monkeypatch.setattr(loop, "_FULL_SECONDS", 0.1)
    caplog.set_level(logging.INFO)
    failures.keep("probe.answer", CloudEvent.from_json(cloud_event()), RuntimeError("failed on purpose"))
    _make_due()

    relay(broker.url)
    eventually(
        lambda: caplog.text.count("2 messages to be retried wait, because 5 wait in the queue probe") > 3
    )

    assert broker.count("probe") == 5
    seen = broker.take("probe", 6, quiet=0.01)  # there is room again
    assert len({message.event["id"] for message in seen}) == 2


def test_queue_that_the_broker_does_not_know_holds_back_no_retry(broker: Broker) -> None:
    asking, _ = publisher.connect(Connection(broker.url), name="probe", waits=lambda: True)

    assert asking.depth("nowhere") == asking.depth("probe") == 0
    broker.publish("{}", queue="probe", times=3)
    assert asking.depth("probe") == 3

    asking.close()


def test_retries_come_due_while_events_never_end(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 1, "RELAY_POLL": 0.1}
    ask(2000)
    relay(broker.url)

    eventually(lambda: InboxEvent.objects.get().due_at > timezone.now() + timedelta(seconds=10))
    assert OutboxEvent.objects.pending().exists()


def test_relay_that_does_not_know_a_microworkflow_brings_its_message_back_and_parks_nothing(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 0.5}
    InboxEvent.objects.update(msg_id=f"probe.answer_anew:{failing['id']}")

    relay(broker.url)

    first, second = broker.take("probe", 2, timeout=10)[:2]
    assert first.event["id"] == second.event["id"] == failing["id"]
    assert first.headers == {"microworkflows-attempt": 1, "microworkflows-label": "probe.answer_anew"}
    assert [row.attempts for row in InboxEvent.objects.waiting()] == [1]


@pytest.mark.slow
def test_waiting_message_whose_microworkflow_is_no_more_goes_to_those_who_listen_and_is_parked_at_last(
    launch: Launcher, failing: dict[str, object]
) -> None:
    known, unknown = json.loads(cloud_event()), "probe.answer_long_ago"
    failures.keep(unknown, CloudEvent.from_dict(known), RuntimeError("failed on purpose"))
    launch.worker(MICROWORKFLOWS={"MAX_ATTEMPTS": 3, "RELAY_POLL": 0.1})

    (row,) = eventually(lambda: list(InboxEvent.objects.parked().filter(msg_id__startswith=unknown)))

    assert f"has no microworkflow {unknown} that listens to probe.asked.v1" in (row.error or "")
    assert row.attempts == 3
    assert effects() == [known["id"]]


# Handlers that take long


class Held:
    """A message that waited for another attempt, and is being handled."""

    def __init__(self, folder: Path) -> None:
        self.event: dict[str, Any] = json.loads(cloud_event(behaviour="hold", file=str(folder / "held")))
        failures.keep("probe.answer", CloudEvent.from_dict(self.event), RuntimeError("failed on purpose"))
        self._trace = folder / "held"
        self._thread = threading.Thread(target=self._handle)

    def begin(self) -> None:
        self._thread.start()
        eventually(self._trace.exists, what="a handler at work")

    def end(self) -> None:
        self._trace.with_name("held.go").touch()
        self._thread.join()

    def _handle(self) -> None:
        try:
            inbox.receive(self.event, queue="probe", attempt=1, label="probe.answer")
        finally:
            connection.close()


@pytest.fixture
def held(database: str, probe: None, tmp_path: Path) -> Iterator[Held]:
    """Yield a message whose handler runs until the end of the test, and that is due all the same, as a long one is."""
    held = Held(tmp_path)
    _make_due()
    held.begin()
    yield held
    held.end()
    assert (
        InboxEvent.objects.get(msg_id=f"probe.answer:{held.event['id']}").status == InboxEvent.Status.HANDLED
    )


def _make_due() -> None:
    InboxEvent.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_relay_does_not_wait_for_a_handler(
    failing: dict[str, object], held: Held, relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 1.0}
    relay(broker.url)

    redelivered = broker.take("probe", 2, timeout=10)
    (recorded,) = ask()

    assert {message.event["id"] for message in redelivered} == {failing["id"]}
    assert str(recorded.id) in {message.event["id"] for message in broker.take("echo", 1, timeout=10)}


@pytest.fixture
def looks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the number of due messages that each look of a relay found.

    A worker has each redelivered message in hand just when the relay would lease it, and dies.
    """
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 600.0}
    looks: list[int] = []
    mark, look = store.mark_retries, store.due_retries

    def mark_while_a_worker_has_it(outcome: Outcome, *, now: datetime) -> set[UUID]:
        worker = connection.copy()
        try:
            worker.set_autocommit(False)
            worker.cursor().execute("SELECT 1 FROM received FOR UPDATE")
            return mark(outcome, now=now)
        finally:
            worker.close()  # its process dies

    def counted(*args: Any, **kwargs: Any) -> list[Message]:
        due = look(*args, **kwargs)
        looks.append(len(due))
        return due

    monkeypatch.setattr(store, "mark_retries", mark_while_a_worker_has_it)
    monkeypatch.setattr(store, "due_retries", counted)
    return looks


def test_attempt_that_a_worker_had_before_its_lease_gets_no_copy_beside_the_brokers(
    failing: dict[str, object], looks: list[int], relay: StartRelay, broker: Broker
) -> None:
    relay(broker.url)

    eventually(lambda: sum(looks) >= 5, what="five looks that find it due")
    assert broker.count("probe") == 1


def test_message_that_is_due_anew_with_as_many_attempts_as_before_does_not_wait_for_the_lease(
    failing: dict[str, object], looks: list[int], relay: StartRelay, broker: Broker
) -> None:
    """As after a replay and as many failures, or after giving way, which costs no attempt."""
    relay(broker.url)
    eventually(lambda: sum(looks) >= 2, what="an attempt that is in a worker's hands")

    InboxEvent.objects.update(expires_at=times.stored(times.now() - timedelta(seconds=1)))

    eventually(lambda: broker.count("probe") == 2, what="a second redelivery")


WAYS: dict[str, Callable[[list[UUID]], object]] = {
    "redelivered": lambda ids: store.mark_retries(Outcome(confirmed=ids), now=timezone.now()),
    "refused": lambda ids: store.mark_retries(
        Outcome(refused=dict.fromkeys(ids, "full")), now=timezone.now()
    ),
    "unheard": lambda ids: store.mark_retries(Outcome(unheard=ids), now=timezone.now()),
    "rejected": lambda ids: store.mark_retries(
        Outcome(rejected=dict.fromkeys(ids, "too large")), now=timezone.now()
    ),
    "replayed": lambda ids: InboxEvent.objects.filter(pk__in=ids).replay(by="clerk"),
}


@pytest.mark.parametrize("way", WAYS)
def test_nobody_waits_for_a_handler_and_others_are_not_kept_from_theirs(
    failing: dict[str, object], held: Held, way: str
) -> None:
    rows = InboxEvent.objects.order_by("pk")
    (other,) = rows.filter(msg_id__endswith=failing["id"]).values()
    (before,) = rows.exclude(pk=other["id"]).values()

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '5s'")
        try:
            WAYS[way]([before["id"], other["id"]])
        finally:
            cursor.execute("RESET lock_timeout")

    assert rows.exclude(pk=other["id"]).values().get() == before
    assert rows.filter(pk=other["id"]).values().get() != other


def test_relay_that_freezes_with_rows_in_hand_keeps_no_worker_from_them_for_long(
    failing: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_IN_TRANSACTION_MILLISECONDS", 500)
    has_locked, thaws = threading.Event(), threading.Event()

    def freeze() -> None:
        session.set_up(connection)
        with suppress(DatabaseError), transaction.atomic():  # its session is gone when it thaws
            assert list(InboxEvent.objects.waiting().free())
            has_locked.set()
            thaws.wait(60)
        connection.close()

    frozen = threading.Thread(target=freeze)
    frozen.start()
    assert has_locked.wait(60)
    failing["data"] = {"number": 0}  # it succeeds this time

    inbox.receive(failing, queue="probe", attempt=1, label="probe.answer")

    assert not thaws.is_set()
    assert effects() == [failing["id"]]
    thaws.set()
    frozen.join()
