"""Heartbeats: who serves a queue, as the table tells it."""

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError
from django.utils import timezone

from microworkflows import heartbeats
from microworkflows.heartbeats import STALE_AFTER, Process
from microworkflows.loads import Load
from microworkflows.models import Heartbeat
from microworkflows.worker import heartbeats as of_the_worker
from microworkflows.worker.strangers import LOOKS, Strangers

pytestmark = pytest.mark.django_db


def process(worker: str = "desk@here", *, pid: int = 1) -> Process:
    return Process(worker=worker, host="here", pid=pid, started_at=timezone.now())


def test_last_heartbeat_of_a_worker_at_each_queue_is_kept() -> None:
    heartbeats.note(process(), depths={"desk": 7, "post": None}, handling=1)
    heartbeats.note(process(), depths={"desk": 3, "post": 0}, handling=2)

    found = heartbeats.last_seen()

    assert {queue: (seen.depth, seen.handling, seen.is_alive) for queue, seen in found.items()} == {
        "desk": (3, 2, True),
        "post": (0, 2, True),
    }
    assert Heartbeat.objects.count() == 2


@pytest.mark.parametrize(("age", "alive"), [(timedelta(), True), (STALE_AFTER + timedelta(seconds=1), False)])
def test_worker_is_alive_until_its_last_heartbeat_is_too_old(age: timedelta, alive: bool) -> None:
    heartbeats.note(process(), depths={"desk": 0}, handling=0)
    Heartbeat.objects.update(seen_at=timezone.now() - age)

    assert heartbeats.last_seen()["desk"].is_alive is alive


def test_worker_that_lives_comes_before_one_that_was_stopped_later() -> None:
    heartbeats.note(process("lives@here"), depths={"desk": 0}, handling=0)
    heartbeats.note(process("stopped@here", pid=2), depths={"desk": 0}, handling=0)
    heartbeats.note_stop(process("stopped@here", pid=2))

    assert heartbeats.last_seen()["desk"].process.worker == "lives@here"
    assert [seen.is_alive for seen in heartbeats.workers()] == [True, False]


def test_worker_that_stops_after_another_took_its_name_does_not_stop_that() -> None:
    heartbeats.note(process(pid=1), depths={"desk": 0}, handling=0)
    heartbeats.note(process(pid=2), depths={"desk": 0}, handling=0)

    heartbeats.note_stop(process(pid=1))

    assert heartbeats.last_seen()["desk"].is_alive


def test_heartbeat_that_cannot_be_noted_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heart = of_the_worker._Heart(SimpleNamespace(hostname="desk@here", app=None), ["desk"])
    monkeypatch.setattr(heart._loads, "of", lambda queues: dict.fromkeys(queues, Load()))
    monkeypatch.setattr(heart, "_close", lambda: None)  # the test's own connection is in a transaction
    note = heartbeats.note

    def refuse(*args: object, **kwargs: object) -> None:
        raise DatabaseError("relation microworkflows_heartbeat does not exist")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(heartbeats, "note", refuse)
        heart.beat()
        heart.beat()
        monkeypatch.setattr(heartbeats, "note", note)
        heart.beat()

    (told,) = caplog.messages
    assert "could not note a heartbeat, so the worker is not seen; tries again every 5 s" in told
    assert heartbeats.last_seen()["desk"].is_alive


def test_consumer_of_whom_no_heartbeat_tells_is_told_once_after_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heartbeats.note(process(), depths={"desk": 0, "post": 0}, handling=0)
    watched = Strangers()

    for _ in range(LOOKS - 1):
        watched.look({"desk": 2, "post": 1})
    assert caplog.messages == []
    for _ in range(LOOKS):
        watched.look({"desk": 2, "post": 1})

    (told,) = caplog.messages
    assert (
        "the broker counts 2 consumers of the queue 'desk', and this database knows 1 workers of it" in told
    )
    assert "PREFIX" in told


@pytest.mark.parametrize(
    "consumers",
    [{"desk": 2}, {"desk": 1}, {"desk": None}, {"desk": 0}],
    ids=["all known", "one", "unknown", "none"],
)
def test_consumers_that_are_known_or_that_nobody_counted_are_no_strangers(
    consumers: dict[str, int | None], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one@here", "two@here"):
        heartbeats.note(process(name), depths={"desk": 0}, handling=0)
    watched = Strangers()

    for _ in range(2 * LOOKS):
        watched.look(consumers)

    assert caplog.messages == []


def test_stranger_who_goes_within_a_minute_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """As after a restart: the broker counts the worker that was cut off for a while."""
    heartbeats.note(process(), depths={"desk": 0}, handling=0)
    watched = Strangers()

    for count in [2] * (LOOKS - 1) + [1] + [2] * (LOOKS - 1):
        watched.look({"desk": count})

    assert caplog.messages == []
