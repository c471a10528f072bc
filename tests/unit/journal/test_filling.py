"""Filling: what notices did not tell comes from outbox, inbox and history, and what they told comes in once."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from microworkflows import Later, inbox, outbox
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import PermanentError
from microworkflows.journal import filling, writing
from microworkflows.journal.models import Attempt, Delivery, Event, Minute
from microworkflows.journal.notices import event_facts
from microworkflows.journal.writing import Memory
from microworkflows.models import HistoryEntry, InboxEvent, OutboxEvent
from microworkflows.testing import Flow
from tests.unit.journal.messages import BEGAN, Speaker, failed

pytestmark = pytest.mark.django_db(transaction=True)


def test_filled_journal_knows_each_failed_attempt_and_who_replayed_the_message(post: SimpleNamespace) -> None:
    letter = _failed_twice(post)
    InboxEvent.objects.all().replay(by="ann", why="stamps have come")
    post.fail = None
    inbox.receive(letter, queue="desk", attempt=0)

    fill()
    fill()

    known = [(each.number, each.ending, each.error, each.by, each.why) for each in _attempts()]
    assert known == [
        (1, "failed", "ValueError: no stamps", "", ""),
        (2, "parked", "PermanentError: nor ink", "", ""),
        (1, "replayed", "", "ann", "stamps have come"),
    ]
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts) == (Delivery.Status.HANDLED, 1)
    assert sum(Minute.objects.values_list("failed", flat=True)) == 2


def test_parked_message_is_parked_with_all_its_attempts(post: SimpleNamespace) -> None:
    _failed_twice(post)

    fill()

    assert [(each.number, each.ending) for each in _attempts()] == [(1, "failed"), (2, "parked")]
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.attempts, delivery.error) == (
        Delivery.Status.PARKED,
        2,
        "PermanentError: nor ink",
    )
    assert all(each.duration is not None for each in _attempts())


def test_attempt_that_a_notice_told_by_another_clock_is_the_same(post: SimpleNamespace) -> None:
    letter = _failed_twice(post)
    facts: Any = event_facts(CloudEvent.from_dict(letter).meta)
    late = (datetime.now(UTC) - BEGAN).total_seconds() + 3600
    writing.write([Speaker("desk").says(failed(facts, "desk.stamp_letter", number=1, after=late))], Memory())

    fill()
    fill()

    assert [(each.number, each.ending) for each in _attempts()] == [(2, "parked"), (1, "failed")]


def test_failing_message_of_an_earlier_version_has_its_last_attempt(post: SimpleNamespace) -> None:
    _failed_twice(post)
    HistoryEntry.objects.all().delete()

    fill()
    fill()

    assert [(each.number, each.ending, each.error) for each in _attempts()] == [
        (2, "parked", "PermanentError: nor ink")
    ]
    assert Delivery.objects.get().status == Delivery.Status.PARKED


def test_dismissed_message_is_dismissed_with_the_reason(post: SimpleNamespace) -> None:
    _failed_twice(post)
    InboxEvent.objects.all().dismiss(by="ann", why="a test letter")

    fill()
    fill()

    assert [(each.ending, each.by, each.why) for each in _attempts()][2:] == [
        ("dismissed", "ann", "a test letter")
    ]
    assert Delivery.objects.get().status == Delivery.Status.DISMISSED


def test_events_have_the_microworkflow_that_emitted_them(post: SimpleNamespace) -> None:
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))
    inbox.receive(OutboxEvent.objects.get().body, queue="desk")

    fill()

    assert dict(Event.objects.values_list("type", "emitted_by")) == {
        "letters.letter_written.v1": "",
        "desk.letter_stamped.v1": "desk.stamp_letter",
    }


def test_timer_is_told_of_once_it_is_sent(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(Later(post.LetterWritten(letter_id=uuid4()), timedelta(hours=1)))
    fill()
    before = Event.objects.count()
    flow.wait(timedelta(hours=1))
    flow.run()

    fill()

    assert before == 0
    assert Event.objects.get(pk=meta.id).recorded_at == meta.time


def fill() -> None:
    now = datetime.now(UTC)
    filling.fill(Memory(), alias="default", since=now - timedelta(days=1), until=now + timedelta(days=1))


def _failed_twice(post: SimpleNamespace) -> dict[str, Any]:
    """Let a letter fail, and fail for good; return it."""
    with transaction.atomic():
        outbox.record(post.LetterWritten(letter_id=uuid4()))
    letter: dict[str, Any] = OutboxEvent.objects.get().body
    post.fail = ValueError("no stamps")
    inbox.receive(letter, queue="desk")
    post.fail = PermanentError("nor ink")
    inbox.receive(letter, queue="desk", attempt=1)
    return letter


def _attempts() -> list[Attempt]:
    return list(Attempt.objects.order_by("ended_at", "pk"))
