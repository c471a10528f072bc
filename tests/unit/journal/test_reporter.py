"""The reporter: numbered batches, one message a round; whatever the broker does, the work goes on."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import signals
from kombu import Connection

from microworkflows import embedded
from microworkflows.cloudevents import CloudEvent
from microworkflows.flows import Attempt, Failure, Sent
from microworkflows.journal import broker, reporter
from microworkflows.journal.guest import Journal
from microworkflows.journal.notices import Kind, event_facts, facts_of_body
from microworkflows.journal.reporter import Reporter


class Queue:
    """The journal's queue on an embedded broker."""

    def __init__(self, folder: Path) -> None:
        embedded.register()
        self._url = f"embedded://{folder}"
        self.is_away = False
        with self.connect() as connection:
            broker.declare(connection)

    def connect(self, **_: Any) -> Connection:
        if self.is_away:
            raise ConnectionRefusedError("the broker is away")
        connection = Connection(self._url)
        connection.connect()
        return connection

    def take(self) -> list[dict[str, Any]]:
        """Take all messages."""
        found = []
        with self.connect() as connection:
            bound = broker.queue()(connection.channel())
            while (message := bound.get(no_ack=True)) is not None:
                found.append(json.loads(message.body or ""))
        return found


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The journal's queue, to which this process's reporters send."""
    queue = Queue(tmp_path / "broker")
    monkeypatch.setattr(broker, "connect", queue.connect)
    monkeypatch.setattr(Reporter, "_start", lambda self: None)
    return queue


@pytest.fixture
def own(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reporter]:
    """This process's reporter, whose rounds a test does itself."""
    made = Reporter()
    monkeypatch.setattr(reporter, "current", made)
    yield made
    made._close()


def _event(**data: Any) -> CloudEvent:
    return CloudEvent.from_dict(
        {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/letters",
            "type": "letters.letter_written.v1",
            "correlationid": "a-flow",
            "causationid": "a-cause",
            "microworkflowshops": 2,
            "microworkflowskind": "letters.letter",
            "microworkflowskey": "7",
            "microworkflowsname": "L-7",
            "microworkflowsmark": "desk=inline",
            "data": data,
        }
    )


def _attempt(event: CloudEvent, number: int = 1) -> Attempt:
    return Attempt(event=event, consumer="desk.stamp_letter", number=number, duration=0.25)


def _told(messages: list[dict[str, Any]]) -> list[str]:
    return [kind for message in messages for kind, _, _ in message["notices"]]


def test_first_notice_holds_the_declarations_and_numbers_go_on_from_message_to_message(
    queue: Queue, own: Reporter
) -> None:
    guest, event = Journal(), _event()
    guest.handled(_attempt(event), [uuid4()])  # before it is known what this process is

    own.begin("pool", name="desk@host 1")
    own.go_round()
    guest.failed(_attempt(event, 2), Failure("ValueError: no", "…", False, None, fingerprint="f"))
    own.go_round()

    first, second = queue.take()
    assert (_told([first]), first["first"]) == (["declared", "handled"], 0)
    assert (_told([second]), second["first"]) == (["failed"], 2)
    assert first["notices"][0][2]["contexts"] == ["inventory", "orders", "payments", "shipping"]
    assert first["process"]["kind"] == "pool"
    assert first["process"]["id"] == second["process"]["id"]
    facts = first["notices"][1][2]
    assert facts["event"] == event_facts(event.meta)
    assert (facts["number"], facts["seconds"], len(facts["emitted"])) == (1, 0.25, 1)


def test_process_that_has_nothing_to_say_says_that_it_lives_from_time_to_time(
    queue: Queue, own: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.begin("pool", name="desk@host 1")
    own.go_round()
    own.go_round()
    assert _told(queue.take()) == ["declared"]

    monkeypatch.setattr(reporter, "ALIVE_SECONDS", 0.0)
    own.go_round()

    assert _told(queue.take()) == ["alive"]


def test_process_that_is_no_part_of_a_service_sends_nothing(queue: Queue, own: Reporter) -> None:
    guest = Journal()
    for _ in range(3_000):
        guest.handled(_attempt(_event()), [])

    assert own._thread is None
    assert len(own._told) == 1_000
    assert guest.running(_event(), consumer="desk.stamp_letter", number=1) is None
    assert queue.take() == []


def test_notices_wait_for_a_broker_that_is_away_and_beyond_the_bound_the_oldest_go(
    queue: Queue, own: Reporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reporter, "MOST_BUFFERED", 5)
    queue.is_away = True
    own.begin("pool", name="desk@host 1")
    guest = Journal()
    for _ in range(3):
        for _ in range(3):
            guest.handled(_attempt(_event()), [])
        own._wait_until = 0
        own.go_round()

    queue.is_away, own._wait_until = False, 0
    own.go_round()

    (message,) = queue.take()
    assert (message["first"], len(message["notices"])) == (5, 5), "of ten, numbered from 0"
    told = [record for record in caplog.records if "does not take" in record.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.WARNING


def test_queue_of_the_embedded_broker_keeps_a_bounded_number_of_messages(
    queue: Queue, own: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "MOST_FILES", 3)
    own.begin("pool", name="desk@host 1")
    for _ in range(8):
        Journal().handled(_attempt(_event()), [])
        own.go_round()

    assert [message["first"] for message in queue.take()] == [5, 6, 7, 8], "three, and the one just sent"


def test_only_runs_that_take_long_are_told_of_while_they_last(queue: Queue, own: Reporter) -> None:
    own.begin("pool", name="desk@host 1")
    run = Journal().running(_event(), consumer="desk.stamp_letter", number=1)
    assert run is not None

    with run:
        own.go_round()
        run.began = time.time() - 2  # type: ignore[attr-defined]
        own.go_round()
        own.go_round()
    own.go_round()

    assert _told(queue.take()) == ["declared", "received"]


def test_end_is_told_with_all_that_is_left(queue: Queue, own: Reporter) -> None:
    own.begin("worker", name="desk@host")
    Journal().beat("desk@host", depths={"desk": 3}, handling=1)

    own.end()

    (message,) = queue.take()
    assert _told([message]) == ["declared", "alive", "stopped"]
    assert message["process"]["contexts"] == ["desk"]
    own.end()
    assert queue.take() == []


def test_relay_tells_each_outcome_with_the_facts_of_the_events_body(queue: Queue, own: Reporter) -> None:
    events = [_event() for _ in range(3)]
    bodies = [(each.meta.id, json.dumps(each.to_dict())) for each in events]
    own.begin("relay", name="relay of letters")

    Journal().sent(
        Sent(
            context="letters",
            relayed=bodies[:1],
            unheard=bodies[1:2],
            rejected=[(*bodies[2], "too large")],
            unconfirmed=[],
            duration=0.1,
        )
    )
    own.go_round()

    _, relayed, unheard, rejected = queue.take()[0]["notices"]
    assert [each[0] for each in (relayed, unheard, rejected)] == ["relayed", "unheard", "rejected"]
    assert relayed[2] == event_facts(events[0].meta) == facts_of_body(bodies[0][1])
    assert rejected[2]["error"] == "too large"


def test_no_payload_travels(queue: Queue, own: Reporter) -> None:
    event, guest = _event(secret="a card number"), Journal()
    own.begin("pool", name="desk@host 1")

    guest.handled(_attempt(event), [])
    guest.sent(
        Sent(
            context="letters",
            relayed=[(event.meta.id, json.dumps(event.to_dict()))],
            unheard=[],
            rejected=[],
            unconfirmed=[],
            duration=0.1,
        )
    )
    own.go_round()

    assert "a card number" not in json.dumps(queue.take())


def test_forked_process_is_another_with_numbers_of_its_own(queue: Queue, own: Reporter) -> None:
    own.begin("worker", name="desk@host")
    own.go_round()

    reporter._begin_anew()

    assert reporter.current is not own
    assert not reporter.current.has_begun
    assert reporter._inherited[-1] is own, "to let go of its connection would close the parent's"


def test_acts_of_people_are_told_with_who_and_why(queue: Queue, own: Reporter) -> None:
    own.begin("web", name="process 1")
    event = uuid4()

    Journal().acted("dismissed", [("desk.stamp_letter", event)], by="an operator", why="a test order")
    own.go_round()

    kind, _, facts = queue.take()[0]["notices"][1]
    assert (kind, facts) == (
        Kind.DISMISSED,
        {"event": str(event), "consumer": "desk.stamp_letter", "by": "an operator", "why": "a test order"},
    )


def test_test_run_begins_no_journal(own: Reporter) -> None:
    Journal().acted("replayed", [("desk.stamp_letter", uuid4())], by="x", why="")
    Journal().beat("desk@host", depths={"desk": 0}, handling=0)
    signals.celeryd_init.send("desk@host")
    signals.worker_process_init.send(None)

    assert not own.has_begun
    assert own._thread is None
