"""Limits of a microworkflow's runs: what is beyond them is broken off, or waits and loses no attempt."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from microworkflows import Limits, bundling, failures, handling, holds, inbox, limiting, microworkflow
from microworkflows.cloudevents import CloudEvent
from microworkflows.models import Hold, InboxEvent, OutboxEvent, RunRate
from microworkflows.testing import Flow
from microworkflows.workflows import Microworkflow

pytestmark = pytest.mark.django_db

WEIGH = "desk.weigh"
NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)


class Clock:
    """What ``limiting`` takes for the present time."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self, zone: object) -> datetime:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(limiting, "datetime", made)
    return made


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    limiting._told.clear()
    yield
    limiting._told.clear()


def limited(post: SimpleNamespace, **limits: Any) -> Microworkflow[Any]:
    """Declare a microworkflow with limits, which notes whom it was called for."""

    @microworkflow(on=post.WrittenAtDesk, context="desk", limits=Limits(**limits))
    def weigh(event: Any) -> None:
        post.calls.append(("weigh", event.letter_id))

    return weigh


def letters(post: SimpleNamespace, flow: Flow, number: int) -> list[Any]:
    """Record letters and return them as a worker gets them."""
    for letter in range(number):
        flow.record(post.LetterWritten(letter_id=UUID(int=letter)))
    return [row.body for row in OutboxEvent.objects.order_by("pk")]


def weighed(post: SimpleNamespace) -> list[int]:
    return [letter.int for name, letter in post.calls if name == "weigh"]


def rows() -> list[InboxEvent]:
    return list(InboxEvent.objects.of_workflow(WEIGH).order_by("expires_at"))


# Rate


def test_runs_beyond_the_rate_wait_for_a_turn_each_and_lose_no_attempt(
    post: SimpleNamespace, flow: Flow, clock: Clock
) -> None:
    limited(post, rate=2, per=timedelta(minutes=1))

    for body in letters(post, flow, 4):
        inbox.receive(body, queue="desk")

    assert weighed(post) == [0]
    waiting = [row for row in rows() if row.status == InboxEvent.Status.WAITING]
    assert [row.due_at - NOW for row in waiting] == [timedelta(seconds=30 * n) for n in (1, 2, 3)]
    assert {row.attempts for row in waiting} == {0}


def test_page_of_a_message_says_that_it_waits_for_its_turn(
    post: SimpleNamespace, flow: Flow, login: Callable[..., Client]
) -> None:
    limited(post, rate=1, per=timedelta(hours=1))
    for body in letters(post, flow, 2):
        inbox.receive(body, queue="desk")

    (waiting,) = InboxEvent.objects.waiting().of_workflow(WEIGH)
    page = login("view_inboxevent").get(f"/admin/microworkflows/inboxevent/{waiting.pk}/change/")

    assert ", in its turn" in page.content.decode()


def test_message_runs_in_its_turn_and_what_is_new_waits_behind_it(
    post: SimpleNamespace, flow: Flow, clock: Clock
) -> None:
    limited(post, rate=1, per=timedelta(minutes=1))
    first, second, third = letters(post, flow, 3)
    inbox.receive(first, queue="desk")
    inbox.receive(second, queue="desk")

    clock.time += timedelta(seconds=50)
    inbox.receive(third, queue="desk")
    clock.time += timedelta(seconds=15)
    inbox.receive(second, queue="desk", attempt=0, label=WEIGH)

    assert weighed(post) == [0, 1]
    (left,) = [row for row in rows() if row.status == InboxEvent.Status.WAITING]
    assert left.due_at - NOW == timedelta(seconds=120)


def test_turns_that_were_missed_do_not_come_all_at_once(
    post: SimpleNamespace, flow: Flow, clock: Clock
) -> None:
    limited(post, rate=1, per=timedelta(minutes=1))
    bodies = letters(post, flow, 6)
    for body in bodies:
        inbox.receive(body, queue="desk")

    clock.time += timedelta(hours=1)
    for body in bodies[1:]:
        inbox.receive(body, queue="desk", attempt=0, label=WEIGH)

    assert len(weighed(post)) == 2


def test_runs_of_a_second_may_begin_together(post: SimpleNamespace, flow: Flow, clock: Clock) -> None:
    limited(post, rate=300, per=timedelta(minutes=1))

    for body in letters(post, flow, 8):
        inbox.receive(body, queue="desk")

    assert len(weighed(post)) == 5


def test_what_is_paused_takes_no_turn(post: SimpleNamespace, flow: Flow, clock: Clock) -> None:
    limited(post, rate=1)
    holds.pause(Hold.Kind.MICROWORKFLOW, WEIGH, by="ada", why="the scales are broken")
    holds.look(anew=True)

    for body in letters(post, flow, 2):
        inbox.receive(body, queue="desk")

    assert not RunRate.objects.exists()
    assert [row.status for row in rows()] == [InboxEvent.Status.WAITING] * 2


def test_second_delivery_of_a_message_that_waits_changes_nothing(
    post: SimpleNamespace, flow: Flow, clock: Clock
) -> None:
    limited(post, rate=1, per=timedelta(minutes=1))
    bodies = letters(post, flow, 2)
    for body in [*bodies, *bodies]:
        inbox.receive(body, queue="desk")

    assert weighed(post) == [0]
    (left,) = [row for row in rows() if row.status == InboxEvent.Status.WAITING]
    assert left.due_at - NOW == timedelta(minutes=1)


@pytest.mark.parametrize(("last_delivery", "killed_after"), [(True, None), (False, 5.0)])
def test_message_whose_process_died_has_failed_and_waits_for_no_turn(
    post: SimpleNamespace, flow: Flow, clock: Clock, last_delivery: bool, killed_after: float | None
) -> None:
    limited(post, rate=1, per=timedelta(minutes=1))
    first, second = letters(post, flow, 2)
    inbox.receive(first, queue="desk", label=WEIGH)

    with handling.killed_after(killed_after):
        inbox.receive(second, queue="desk", label=WEIGH, last_delivery=last_delivery)

    (row,) = InboxEvent.objects.failing().of_workflow(WEIGH)
    assert row.attempts == 1
    assert (row.error or "").startswith("ProcessDiedError" if last_delivery else "TimeLimitError")


# Concurrency


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_run_beyond_the_number_at_once_waits_and_loses_no_attempt(post: SimpleNamespace, flow: Flow) -> None:
    workflow = limited(post, concurrency=2)
    first, second = letters(post, flow, 2)

    with places_taken(workflow, 1):
        inbox.receive(first, queue="desk")
    with places_taken(workflow, 2):
        inbox.receive(second, queue="desk")

    assert weighed(post) == [0]
    (left,) = [row for row in rows() if row.status == InboxEvent.Status.WAITING]
    assert left.attempts == 0
    assert timedelta(seconds=0.3) < left.due_at - datetime.now(UTC) < timedelta(seconds=30)
    inbox.receive(second, queue="desk", attempt=0, label=WEIGH)
    assert weighed(post) == [0, 1]


def places_taken(workflow: Microworkflow[Any], number: int) -> Any:
    """Return a context in which other sessions have so many of the places."""

    class Taken:
        def __enter__(self) -> None:
            self.others: list[Any] = [connections.create_connection("default") for _ in range(number)]
            for other in self.others:
                other.settings_dict = connection.settings_dict
                other.set_autocommit(False)
                limiting.take_place(other, workflow)

        def __exit__(self, *_: object) -> None:
            for other in self.others:
                other.close()

    return Taken()


def test_message_that_has_waited_long_asks_less_often() -> None:
    def wait(waited: timedelta) -> timedelta:
        return limiting.wait_for_place(InboxEvent(added=datetime.now(UTC) - waited))

    assert wait(timedelta()) == timedelta(seconds=0.5)
    assert wait(timedelta(seconds=8)).total_seconds() == pytest.approx(2, abs=0.5)
    assert wait(timedelta(hours=1)) == timedelta(seconds=30)


# Run time


def test_run_that_takes_too_long_is_broken_off_and_has_failed(post: SimpleNamespace, flow: Flow) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk", limits=Limits(run_time=timedelta(seconds=0.05)))
    def weigh(event: Any) -> None:
        time.sleep(600)

    flow.record(post.LetterWritten(letter_id=UUID(int=1)))
    flow.run(keep_failures=True)

    (row,) = rows()
    assert (row.status, row.attempts) == (InboxEvent.Status.WAITING, 1)
    assert (row.error or "").startswith("RunTimeExceededError: desk.weigh took longer than 0.05 s, its limit")
    assert "time.sleep(600)" in (row.traceback or "")


def test_alarm_of_whoever_is_around_is_left_as_it_was(post: SimpleNamespace) -> None:
    workflow = limited(post, run_time=timedelta(seconds=50))
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    kept = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with limiting.broken_off_in_time(workflow):
            inside, _ = signal.getitimer(signal.ITIMER_REAL)
        outside, _ = signal.getitimer(signal.ITIMER_REAL)
        signal.raise_signal(signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *kept)

    assert inside <= 50 < outside <= 100
    assert rang == [1]


def test_thread_says_once_that_nothing_is_broken_off_there(
    post: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    workflow = limited(post, run_time=timedelta(seconds=0.01))
    ended: list[bool] = []

    def run() -> None:
        for _ in range(2):
            with limiting.broken_off_in_time(workflow):
                time.sleep(0.03)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert ended == [True]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the run time of desk.weigh is not limited here")


# All


def test_limited_runs_have_a_transaction_each(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(post, concurrency=1)
    alone = mock.Mock(side_effect=failures.handle_or_keep)
    monkeypatch.setattr(failures, "handle_or_keep", alone)

    inbox.receive_bundle(letters(post, flow, 4), queue="desk")

    assert [call.args[0].label for call in alone.call_args_list].count(WEIGH) == 4
    assert sorted(weighed(post)) == [0, 1, 2, 3]


def test_without_limits_nothing_is_asked(post: SimpleNamespace, flow: Flow) -> None:
    (body,) = letters(post, flow, 1)

    with CaptureQueriesContext(connection) as said, transaction.atomic():
        assert limiting.turn(post.stamp_letter, CloudEvent.from_dict(body).meta.id, attempt=0) is None
        limiting.take_place(connection, post.stamp_letter)
        with limiting.broken_off_in_time(post.stamp_letter):
            assert signal.getsignal(signal.SIGALRM) is not None

    assert [query["sql"] for query in said.captured_queries if "SAVEPOINT" not in query["sql"]] == []
    assert bundling._may_be_bundled((post.stamp_letter, CloudEvent.from_dict(body)))


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({}, TypeError, "limits nothing"),
        ({"rate": 0}, ValueError, r"Limits\(rate=0\): it is a whole number, from 1"),
        ({"rate": True}, ValueError, r"Limits\(rate=True\)"),
        ({"concurrency": 2.0}, ValueError, r"Limits\(concurrency=2.0\)"),
        ({"concurrency": 1_001}, ValueError, "from 1 to 1,000"),
        ({"run_time": 5}, ValueError, r"Limits\(run_time=5\): it is a timedelta"),
        ({"run_time": timedelta(0)}, ValueError, "more than no time"),
        ({"rate": 1, "per": timedelta(days=366)}, ValueError, r"Limits\(per="),
        ({"rate": 1, "per": None}, ValueError, r"Limits\(per=None\)"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused_and_named(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        Limits(**given)


def test_number_in_place_of_limits_is_refused_and_says_what_to_write(post: SimpleNamespace) -> None:
    untyped: Any = microworkflow
    with pytest.raises(TypeError, match=r"limits=3 is no Limits. Write limits=Limits\(concurrency=2\)"):
        untyped(on=post.WrittenAtDesk, limits=3)
