"""Circuit breakers: who depends on somebody that is away pauses by itself, loses no attempt, and goes on by itself."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from microworkflows import (
    Breaker,
    DomainEvent,
    IncomingEvent,
    PermanentError,
    RetryAfter,
    Sensitive,
    circuits,
    holds,
    inbox,
    microworkflow,
    times,
)
from microworkflows.models import HistoryEntry, Hold, InboxEvent, OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

WEIGH = "desk.weigh"
PAUSE = timedelta(seconds=30)


class ScalesAwayError(Exception):
    """Nobody answers at the scales."""


class Scales:
    """The other side: who asks it, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[UUID] = []
        self.fail: Exception | None = ScalesAwayError("no scales")
        self.fail_for: UUID | None = None

    def weigh(self, letter_id: UUID) -> None:
        self.asked.append(letter_id)
        if self.fail is not None and self.fail_for in (None, letter_id):
            raise self.fail


@pytest.fixture(autouse=True)
def remembers_nothing() -> Iterator[None]:
    """Let no test know what another one counted."""
    for forget in (holds.forget, circuits.forget):
        forget()
    yield
    for forget in (holds.forget, circuits.forget):
        forget()


@pytest.fixture
def scales(post: SimpleNamespace) -> Scales:
    made = Scales()

    @microworkflow(
        on=post.WrittenAtDesk,
        context="desk",
        breaker=Breaker(errors=[ScalesAwayError], after=3, pause=PAUSE, max_pause=3 * PAUSE),
    )
    def weigh(event: Any) -> None:
        made.weigh(event.letter_id)

    return made


def record(post: SimpleNamespace, flow: Flow, number: int, *, first: int = 0) -> list[Any]:
    """Record letters and return them as a worker gets them."""
    for letter in range(first, first + number):
        flow.record(post.LetterWritten(letter_id=UUID(int=letter)))
    rows = OutboxEvent.objects.filter(destination="letters.letter_written.v1").order_by("added", "pk")
    return [row.body for row in rows][first:]


def deliver(*events: Any, attempt: int | None = None) -> None:
    """Deliver events to the microworkflow alone, as far as is known to a process that has looked just now."""
    for event in events:
        holds.look(anew=True)
        inbox.receive(event, queue="desk", attempt=attempt, label=WEIGH)
    holds.look(anew=True)


def rows() -> list[InboxEvent]:
    return list(InboxEvent.objects.of_workflow(WEIGH).order_by("pk"))


def let_the_pause_pass() -> None:
    """Make the pause as if it had begun and ended earlier, by its own length."""
    hold = Hold.objects.get(ended_at=None)
    assert hold.ends_at is not None
    length = hold.ends_at - hold.began_at
    now = datetime.now(UTC)
    hold.began_at, hold.ends_at = times.stored(now - length), times.stored(now)
    hold.save()
    holds.look(anew=True)


def length() -> timedelta:
    hold = Hold.objects.get(ended_at=None)
    assert hold.ends_at is not None
    return hold.ends_at - hold.began_at


def test_failures_in_a_row_pause_it_and_cost_no_attempt(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    events = record(post, flow, 5)

    deliver(*events)

    assert len(scales.asked) == 3
    hold = Hold.objects.get()
    assert (hold.kind, hold.name, hold.by) == (Hold.Kind.MICROWORKFLOW, WEIGH, "the circuit breaker")
    assert (hold.why, length()) == ("ScalesAwayError: no scales", PAUSE)
    assert [(row.status, row.attempts) for row in rows()] == [(InboxEvent.Status.WAITING, 0)] * 5
    assert HistoryEntry.objects.filter(kind=HistoryEntry.Kind.FAILED).count() == 3


def test_one_message_that_fails_in_several_processes_pauses_it_as_well(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    (event,) = record(post, flow, 1)

    for attempt in (None, 0, 0):
        circuits.forget()  # another process
        deliver(event, attempt=attempt)

    assert Hold.objects.get().name == WEIGH
    assert rows()[0].attempts == 0


def test_success_in_between_begins_the_row_anew(post: SimpleNamespace, flow: Flow, scales: Scales) -> None:
    events = record(post, flow, 5)
    failing, scales.fail = scales.fail, None

    for event, fails in zip(events, [True, True, False, True, True], strict=True):
        scales.fail = failing if fails else None
        deliver(event)

    assert not Hold.objects.exists()
    assert len(scales.asked) == 5


def test_other_error_costs_an_attempt_and_pauses_nothing(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    scales.fail = ValueError("a letter without weight")

    deliver(*record(post, flow, 4))

    assert not Hold.objects.exists()
    assert [row.attempts for row in rows()] == [1] * 4


def test_permanent_error_is_parked_though_it_is_of_a_named_class(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    class ScalesGoneError(ScalesAwayError, PermanentError):
        pass

    scales.fail = ScalesGoneError("sold")

    deliver(*record(post, flow, 4))

    assert not Hold.objects.exists()
    assert {row.status for row in rows()} == {InboxEvent.Status.PARKED}


def test_message_that_alone_fails_while_others_are_handled_is_parked_in_the_end(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    scales.fail_for = UUID(int=0)
    event, *others = record(post, flow, 14)
    deliver(event)

    for other in others:
        deliver(other)
        deliver(event, attempt=rows()[0].attempts)

    (parked,) = InboxEvent.objects.parked()
    assert (parked.msg_id, parked.attempts) == (rows()[0].msg_id, 10)
    assert not Hold.objects.exists()


def test_success_after_the_pause_closes_it_and_what_waited_is_handled(
    post: SimpleNamespace, flow: Flow, scales: Scales, caplog: pytest.LogCaptureFixture
) -> None:
    events = record(post, flow, 4)
    deliver(*events)
    let_the_pause_pass()
    scales.fail = None

    with caplog.at_level(logging.WARNING, "microworkflows"):
        deliver(*events, attempt=0)

    assert {row.status for row in rows()} == {InboxEvent.Status.HANDLED}
    assert [scales.asked.count(UUID(int=letter)) for letter in range(4)] == [2, 2, 2, 1]
    hold = Hold.objects.get()
    assert hold.ended_at is not None
    assert hold.ended_by == "the circuit breaker"
    assert [record.message for record in caplog.records if "closed" in record.message] == [
        "closed the circuit of desk.weigh: it was handled again"
    ]


def test_closed_circuit_needs_as_many_failures_as_at_first(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    events = record(post, flow, 6)
    deliver(*events[:3])
    let_the_pause_pass()
    failing, scales.fail = scales.fail, None
    deliver(events[0], attempt=0)
    scales.fail = failing

    deliver(*events[3:5])
    assert not Hold.objects.filter(ended_at=None).exists()
    deliver(events[5])

    assert length() == PAUSE


def test_failure_after_the_pause_opens_it_at_once_for_twice_as_long_up_to_the_longest(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    events = record(post, flow, 3)
    deliver(*events)
    found = []

    for _ in range(3):
        let_the_pause_pass()
        circuits.forget()  # the process was killed meanwhile
        deliver(*events, attempt=0)
        found.append(length())

    assert found == [2 * PAUSE, 3 * PAUSE, 3 * PAUSE]
    assert len(scales.asked) == 3 + 3
    assert [row.attempts for row in rows()] == [0] * 3


def test_attempt_that_ends_while_it_is_paused_is_spared_and_changes_nothing(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    events = record(post, flow, 5)
    deliver(*events[:3])
    began = Hold.objects.get().began_at

    holds.forget()  # a process that has not looked yet
    inbox.receive(events[3], queue="desk", label=None)
    scales.fail = None
    holds.forget()
    inbox.receive(events[4], queue="desk")

    assert Hold.objects.get(ended_at=None).began_at == began
    assert [row.attempts for row in rows()] == [0] * 5


@pytest.mark.parametrize("opened", [False, True])
def test_pause_of_a_person_is_neither_shortened_nor_replaced(
    post: SimpleNamespace, flow: Flow, scales: Scales, opened: bool
) -> None:
    events = record(post, flow, 8)
    if opened:
        deliver(*events[:3])
    call_command("pause", WEIGH, why="the scales are moved", by="ada")

    holds.forget()  # a process that has not looked yet
    for event in events[3:]:
        inbox.receive(event, queue="desk")

    hold = Hold.objects.get(ended_at=None)
    assert (hold.by, hold.ends_at) == ("ada", None)
    assert Hold.objects.count() == 1 + opened
    assert {row.attempts for row in rows()} == {0}


def test_pause_of_a_person_that_is_over_says_nothing_about_the_next_one(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    call_command("pause", WEIGH, why="the scales are moved", by="ada", minutes=60)
    let_the_pause_pass()
    events = record(post, flow, 3)

    deliver(*events[:2])
    assert Hold.objects.get().by == "ada"
    deliver(events[2])

    assert length() == PAUSE
    assert Hold.objects.filter(by="ada", ended_at=None).count() == 0


def test_person_resumes_what_the_breaker_paused(
    post: SimpleNamespace, flow: Flow, scales: Scales, capsys: pytest.CaptureFixture[str]
) -> None:
    events = record(post, flow, 5)
    deliver(*events[:3])
    call_command("paused")
    call_command("resume", WEIGH, by="ada")

    deliver(*events[3:])

    assert "3 wait  by the circuit breaker: ScalesAwayError: no scales" in capsys.readouterr().out
    hold = Hold.objects.get()
    assert (hold.ended_by, len(scales.asked)) == ("ada", 5)


def test_message_whose_error_asks_for_a_wait_comes_no_sooner(
    post: SimpleNamespace, flow: Flow, scales: Scales
) -> None:
    class ScalesBusyError(ScalesAwayError, RetryAfter):
        pass

    scales.fail = ScalesBusyError(600, "busy")

    deliver(*record(post, flow, 4))

    waits = [row.due_at - datetime.now(UTC) > timedelta(seconds=590) for row in rows()]
    assert waits == [True, True, True, False]  # the last one was not tried
    assert {row.attempts for row in rows()} == {0}


def test_pause_that_another_process_begins_at_this_moment_counts(
    post: SimpleNamespace, flow: Flow, scales: Scales, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = record(post, flow, 7)
    deliver(*events[:3])
    hold = Hold.objects.get()
    unseen = mock.Mock(return_value=Hold.objects.none())
    monkeypatch.setattr(Hold.objects, "select_for_update", unseen)
    holds.forget()
    inbox.receive(events[3], queue="desk")
    monkeypatch.setattr(circuits, "_last", mock.Mock(side_effect=[None, hold]))
    monkeypatch.setitem(circuits._failed, WEIGH, circuits.Series(2, time.time()))

    inbox.receive(events[4], queue="desk")

    assert Hold.objects.get() == hold
    assert len(scales.asked) == 5
    assert {row.attempts for row in rows()} == {0}


def test_circuit_that_cannot_be_closed_is_closed_by_the_next_success(
    post: SimpleNamespace,
    flow: Flow,
    scales: Scales,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = record(post, flow, 3)
    deliver(*events)
    let_the_pause_pass()
    scales.fail = None
    with monkeypatch.context() as patched:
        patched.setattr(Hold.objects, "filter", mock.Mock(side_effect=OperationalError("gone")))
        inbox.receive(events[0], queue="desk", attempt=0, label=WEIGH)

    assert rows()[0].status == InboxEvent.Status.HANDLED
    assert "cannot close the circuit of desk.weigh yet: gone" in caplog.text
    assert Hold.objects.get().ended_at is None
    deliver(events[1], attempt=0)
    assert Hold.objects.get().ended_at is not None


@pytest.mark.parametrize("many", [False, True])
def test_events_of_a_bundle_count_once_each(
    post: SimpleNamespace, flow: Flow, django_capture_on_commit_callbacks: Any, many: bool
) -> None:
    alone = []
    untyped: Any = microworkflow

    def weigh(given: Any) -> None:
        if not isinstance(given, list) or len(given) == 1:
            alone.append(given)
        raise ScalesAwayError

    breaker = Breaker(errors=(ScalesAwayError,), after=3)
    untyped(on=post.WrittenAtDesk, context="desk", many=many, breaker=breaker)(weigh)
    events = record(post, flow, 6)
    with django_capture_on_commit_callbacks(execute=True):
        inbox.receive_bundle(events[:2], queue="desk")
    assert not Hold.objects.exists()
    with django_capture_on_commit_callbacks(execute=True):
        inbox.receive_bundle(events[2:], queue="desk")
    with django_capture_on_commit_callbacks(execute=True):
        inbox.receive_bundle(record(post, flow, 2, first=6), queue="desk")

    assert Hold.objects.get().name == WEIGH
    assert [row.attempts for row in rows()] == [0] * 8
    assert len(alone) <= 6


def test_text_of_the_pause_hides_what_is_sensitive_and_the_log_tells_of_it(
    empty_registry: None,
    flow: Flow,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class LetterWritten(DomainEvent, type="letters.letter_written.v1"):
        name: Sensitive[str]

    class WrittenAtDesk(IncomingEvent, type="letters.letter_written.v1"):
        name: Sensitive[str]

    @microworkflow(on=WrittenAtDesk, context="desk", breaker=Breaker(errors=[ScalesAwayError], after=1))
    def weigh(event: WrittenAtDesk) -> None:
        raise ScalesAwayError(f"no scales for {event.name}\nsecond line")

    flow.record(LetterWritten(name="Lovelace"))

    with caplog.at_level(logging.INFO, "microworkflows"):
        flow.run(keep_failures=True)

    hold = Hold.objects.get()
    assert hold.ends_at is not None
    assert hold.why == "ScalesAwayError: no scales for •••"
    opened = f"opened the circuit of desk.weigh until {times.aware(hold.ends_at).isoformat(timespec='seconds')}: {hold.why}"
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [opened]


def test_breaker_costs_a_handled_message_no_statement(post: SimpleNamespace, flow: Flow) -> None:
    events = record(post, flow, 3)

    def statements(event: Any) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            inbox.receive(event, queue="desk")
        return len(captured)

    statements(events[0])
    without = statements(events[1])
    post.stamp_letter.breaker = Breaker(errors=[ScalesAwayError])

    assert statements(events[2]) == without


@pytest.mark.parametrize(
    "given",
    [
        {"errors": []},
        {"errors": ScalesAwayError},
        {"errors": ["ScalesAwayError"]},
        {"errors": [int]},
        {"errors": [KeyboardInterrupt]},
        {"errors": [PermanentError]},
        {"errors": [ScalesAwayError, Exception]},
    ],
)
def test_errors_that_say_nothing_about_somebody_else_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"Breaker\(errors="):
        Breaker(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"after": 0},
        {"after": True},
        {"after": 1.5},
        {"pause": timedelta(0)},
        {"pause": 30},
        {"max_pause": timedelta(days=1000)},
        {"max_pause": timedelta(seconds=5)},
    ],
)
def test_value_that_cannot_be_meant_is_refused_and_named(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"Breaker\({next(iter(given))}="):
        Breaker(errors=[ScalesAwayError], **given)


def test_what_is_no_breaker_is_refused_and_says_what_to_write(post: SimpleNamespace) -> None:
    untyped: Any = microworkflow
    with pytest.raises(TypeError, match=r"is no Breaker. Write breaker=Breaker\(errors=\[GatewayAway\]\)"):
        untyped(on=post.WrittenAtDesk, breaker=ScalesAwayError)
