import logging
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import (
    DatabaseError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from microworkflows import DomainEvent, PermanentError, failures, handling, inbox, microworkflow, retrying
from microworkflows.cloudevents import CloudEvent
from microworkflows.errors import InvalidCloudEventError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.publisher import Outcome
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db


def test_redelivered_event_is_handled_once(post: SimpleNamespace, flow: Flow) -> None:
    meta = flow.record(post.LetterWritten(letter_id=UUID(int=1)))

    flow.deliver(meta, times=3)

    assert post.calls == [("stamp_letter", UUID(int=1))]
    assert len(flow.emitted(post.LetterStamped)) == 1
    assert [row.msg_id for row in InboxEvent.objects.all()] == [f"desk.stamp_letter:{meta.id}"]


def test_two_contexts_in_one_database_both_handle_one_event(post: SimpleNamespace, flow: Flow) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="archive")
    def copy_letter(event: object) -> None:
        post.calls.append("copied")

    flow.record(post.LetterWritten(letter_id=UUID(int=1)))

    flow.run()

    assert ("stamp_letter", UUID(int=1)) in post.calls
    assert "copied" in post.calls


def test_failing_microworkflow_does_not_touch_another_of_its_context(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        post.calls.append("weighed")

    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert "weighed" in post.calls
    assert [row.label for row in flow.waiting] == ["desk.stamp_letter"]


def test_writes_events_and_inbox_row_of_a_failed_attempt_are_undone_together(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.StampedAtArchive, emits=[], context="archive")
    def break_half_way(event: object) -> None:
        Group.objects.create(name="half done")
        raise ValueError("torn")

    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert not Group.objects.exists()
    assert [(row.label, row.error) for row in flow.waiting] == [
        ("archive.break_half_way", "ValueError: torn")
    ]


def test_failure_is_kept_with_error_and_time_of_the_next_attempt(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 8.0}
    post.fail = ValueError("no ink \x00 left")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    before = datetime.now(UTC)

    flow.run(keep_failures=True)

    (row,) = flow.waiting
    assert (row.context, row.label, row.event_id, row.type) == (
        "desk",
        "desk.stamp_letter",
        meta.id,
        "letters.letter_written.v1",
    )
    assert row.error == "ValueError: no ink \ufffd left"
    assert "in called" in (row.traceback or "")
    assert row.attempts == 1
    assert row.due_at - before >= timedelta(seconds=4)
    assert row.due_at - datetime.now(UTC) <= timedelta(seconds=8)
    assert str(row) == f"desk.stamp_letter letters.letter_written.v1 {meta.id}"


def test_retried_message_is_handled_and_keeps_what_went_wrong(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None

    flow.retry()
    flow.run()

    row = InboxEvent.objects.get(msg_id__startswith="desk")
    assert (row.status, row.attempts, row.error) == (InboxEvent.Status.HANDLED, 1, "ValueError: no ink")
    assert len(flow.emitted(post.LetterStamped)) == 1


def test_message_is_parked_after_the_last_attempt(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 3}
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)
    for _ in range(5):
        flow.retry()

    assert len(post.calls) == 3
    assert [row.attempts for row in flow.parked] == [3]


def test_permanent_failure_is_parked_at_once(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = PermanentError("no such letter")
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert [(row.error, row.attempts) for row in flow.parked] == [("PermanentError: no such letter", 1)]


def test_payload_that_does_not_fit_is_parked_at_once(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    row = OutboxEvent.objects.get()
    row.body["data"]["letter_id"] = "not a uuid"
    row.save()

    flow.run(keep_failures=True)

    assert [row.error.partition(":")[0] for row in flow.parked if row.error] == ["InvalidPayloadError"]
    assert post.calls == []


def test_returning_an_undeclared_event_is_parked_and_nothing_is_emitted(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.StampedAtArchive, context="archive")
    def answer_letter(event: object) -> DomainEvent:
        return cast(DomainEvent, post.LetterWritten(letter_id=uuid4()))

    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert [row.label for row in flow.parked] == ["archive.answer_letter"]
    assert len(flow.emitted(post.LetterWritten)) == 1


def test_parked_message_is_not_handled_when_it_is_delivered_again(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = PermanentError("no such letter")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None

    flow.deliver(meta)

    assert len(post.calls) == 1
    assert len(flow.parked) == 1


def test_replayed_message_has_all_its_attempts_again(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = PermanentError("no such letter")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None

    assert InboxEvent.objects.parked().replay(by="clerk") == 1

    assert [(row.attempts, row.due_at <= datetime.now(UTC)) for row in flow.waiting] == [(0, True)]
    flow.retry()
    assert flow.waiting == flow.parked == []


def test_replay_leaves_handled_messages_alone(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()

    assert InboxEvent.objects.all().replay(by="clerk") == 0

    assert len(post.calls) == 2


def test_event_that_nobody_of_the_context_listens_to_is_parked_not_dropped(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))

    inbox.receive(OutboxEvent.objects.get().body, queue="archive")

    (row,) = flow.parked
    assert (row.msg_id, row.label, row.context) == (f"archive:{meta.id}", "archive", "archive")
    assert "No microworkflow of archive listens to letters.letter_written.v1" in (row.error or "")


def test_message_parked_before_its_microworkflow_existed_is_received_anew_when_replayed(
    post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    inbox.receive(OutboxEvent.objects.get().body, queue="archive")
    InboxEvent.objects.parked().replay(by="clerk")
    (message,) = store.due_retries("archive", limit=10, now=timezone.now())

    store.mark_retries(Outcome(confirmed=[message.id]), now=timezone.now())

    assert message.routing_key == "archive"
    assert not InboxEvent.objects.exists()


def test_message_that_leaves_the_inbox_just_as_it_is_parked_again_is_parked_again(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay marks what it brought back, while a worker already has it."""
    flow.record(post.LetterWritten(letter_id=uuid4()))
    body = OutboxEvent.objects.get().body
    inbox.receive(body, queue="archive")
    InboxEvent.objects.parked().replay(by="clerk")
    (message,) = store.due_retries("archive", limit=10, now=timezone.now())
    insert = handling.insert
    marked: list[object] = []

    def marked_once_the_row_was_seen(*args: Any, **kwargs: Any) -> set[str]:
        inserted = insert(*args, **kwargs)
        if not marked:
            marked.append(store.mark_retries(Outcome(confirmed=[message.id]), now=timezone.now()))
        return inserted

    monkeypatch.setattr(handling, "insert", marked_once_the_row_was_seen)

    inbox.receive(body, queue="archive", attempt=message.attempt)

    assert marked
    (row,) = flow.parked
    assert (row.label, row.attempts) == ("archive", 1)


def test_message_whose_row_vanishes_just_as_it_comes_again_costs_no_attempt(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    post.calls.clear()
    insert = handling.insert
    purged: list[object] = []

    def purged_once_the_row_was_seen(*args: Any, **kwargs: Any) -> set[str]:
        inserted = insert(*args, **kwargs)
        if not purged:
            purged.append(InboxEvent.objects.all().delete())
        return inserted

    monkeypatch.setattr(handling, "insert", purged_once_the_row_was_seen)

    with caplog.at_level(logging.INFO, "microworkflows"):
        flow.deliver(meta)

    assert "no attempt is lost" in caplog.text
    assert not InboxEvent.objects.failing()


def test_message_to_be_retried_goes_to_its_queue_by_the_name_at_the_broker(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"PREFIX": "shop."}
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    InboxEvent.objects.waiting().replay(by="clerk")

    (message,) = store.due_retries("desk", limit=10, now=timezone.now())

    assert message.routing_key == "shop.desk"


def test_redelivered_message_is_leased_and_due_again_if_nothing_comes_of_it(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"REDELIVERY_LEASE": 60.0}
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    InboxEvent.objects.waiting().replay(by="clerk")
    now = timezone.now()
    (message,) = store.due_retries("desk", limit=10, now=now)

    store.mark_retries(Outcome(confirmed=[message.id]), now=now)

    assert store.due_retries("desk", limit=10, now=now + timedelta(seconds=59)) == []
    assert len(store.due_retries("desk", limit=10, now=now + timedelta(seconds=61))) == 1


def test_what_is_no_cloudevent_is_left_to_the_dead_letters(post: SimpleNamespace) -> None:
    with pytest.raises(InvalidCloudEventError):
        inbox.receive({"hello": "world"}, queue="desk")

    assert not InboxEvent.objects.exists()


def test_failure_that_cannot_be_kept_reaches_the_worker_which_must_not_ack(
    post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    gone = OperationalError("server closed the connection unexpectedly")

    with (
        mock.patch.object(handling, "handle", side_effect=gone),
        mock.patch.object(transaction, "atomic", side_effect=gone),
        pytest.raises(DatabaseError),
    ):
        inbox.receive(OutboxEvent.objects.get().body, queue="desk")


def test_late_failure_of_a_message_that_another_worker_handled_changes_nothing(
    post: SimpleNamespace, flow: Flow
) -> None:
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()

    with mock.patch.object(handling, "handle", side_effect=ValueError("late")):
        flow.deliver(meta)

    assert flow.waiting == flow.parked == []


def test_hop_takes_two_statements_and_what_the_handler_adds(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    body = OutboxEvent.objects.get().body

    with CaptureQueriesContext(connection) as queries:
        inbox.receive(body, queue="desk")
        connection.cursor().close()  # in one trip, the event waits for the next statement or the commit

    statements = [query["sql"].split()[0] for query in queries]
    assert [s for s in statements if s not in {"SAVEPOINT", "RELEASE"}] == ["INSERT", "INSERT"]


@pytest.mark.parametrize(("attempts", "longest"), [(1, 1), (2, 2), (5, 16), (11, 1024), (60, 3600)])
def test_delay_doubles_with_each_attempt_has_jitter_and_an_upper_bound(attempts: int, longest: float) -> None:
    delays = {retrying.delay(attempts).total_seconds() for _ in range(200)}

    assert longest / 2 <= min(delays) <= max(delays) <= longest
    assert len(delays) > 100


@pytest.mark.parametrize("seed", range(5))
def test_flow_ends_alike_whatever_the_order_and_however_often_events_come(
    post: SimpleNamespace, flow: Flow, seed: int
) -> None:
    for n in range(5):
        flow.record(post.LetterWritten(letter_id=UUID(int=n)))

    flow.run(shuffle=random.Random(seed), times=2)

    assert sorted(post.calls) == sorted(
        (name, UUID(int=n)) for n in range(5) for name in ("stamp_letter", "file_letter")
    )


def test_copies_of_a_waiting_message_do_not_use_its_attempts_up(post: SimpleNamespace, flow: Flow) -> None:
    post.fail = ValueError("no ink")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    (row,) = flow.waiting

    flow.deliver(meta, times=12)
    for _ in range(3):
        inbox.receive(row.body, queue="desk", attempt=1)

    assert len(post.calls) == 2
    assert [waiting.attempts for waiting in flow.waiting] == [2]


def test_replay_of_one_microworkflow_is_no_concern_of_another_of_its_context(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        post.calls.append("weighed")

    post.fail = PermanentError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None
    InboxEvent.objects.filter(msg_id__startswith="desk.weigh_letter").delete()  # as an earlier purge did

    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def count_letter(event: object) -> None:
        post.calls.append("counted")

    InboxEvent.objects.parked().replay(by="clerk")
    flow.retry()

    assert [call for call in post.calls if isinstance(call, str)] == ["weighed"]
    assert flow.waiting == flow.parked == []


def test_message_that_an_older_relay_brings_back_goes_to_all_that_listen(
    post: SimpleNamespace, flow: Flow
) -> None:
    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        post.calls.append("weighed")

    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None
    (row,) = flow.waiting

    inbox.receive(row.body, queue="desk", attempt=1)

    assert post.calls.count("weighed") == 1
    assert flow.waiting == flow.parked == []


def _rename(row: InboxEvent, label: str) -> None:
    InboxEvent.objects.filter(pk=row.pk).update(msg_id=f"{label}:{row.event_id}")


def test_message_of_a_microworkflow_that_is_no_more_goes_to_who_has_not_received_it_and_is_parked_at_last(
    post: SimpleNamespace, flow: Flow
) -> None:
    post.fail = ValueError("no ink")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    post.fail = None
    _rename(flow.waiting[0], "desk.mark_letter")

    for attempts in range(2, 11):
        flow.retry()
        (row,) = [*flow.waiting, *flow.parked]
        assert row.attempts == attempts
        assert row.due_at <= datetime.now(UTC) + timedelta(seconds=8)

    (row,) = flow.parked
    assert "has no microworkflow desk.mark_letter that listens to letters.letter_written.v1" in (
        row.error or ""
    )
    assert post.calls.count(("stamp_letter", UUID(row.body["data"]["letter_id"]))) == 2  # one failed


def test_message_that_older_code_does_not_know_waits_for_newer_code(
    post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    body = OutboxEvent.objects.get().body
    flow.run()
    failures.keep("desk.weigh_letter", CloudEvent.from_dict(body), ValueError("the scales are in use"))
    flow.retry()  # by a worker of the older code
    (row,) = flow.waiting

    @microworkflow(on=post.WrittenAtDesk, context="desk")
    def weigh_letter(event: object) -> None:
        post.calls.append("weighed")

    flow.retry()

    assert row.attempts == 2
    assert post.calls.count("weighed") == 1
    assert flow.waiting == flow.parked == []


def test_label_that_no_message_bears_is_not_believed(post: SimpleNamespace, flow: Flow) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))

    inbox.receive(OutboxEvent.objects.get().body, queue="desk", attempt=1, label="desk.nobody")

    assert len(post.calls) == 1
    assert [row.label for row in InboxEvent.objects.all()] == ["desk.stamp_letter"]


def test_failure_of_a_duplicate_changes_nothing(
    post: SimpleNamespace, flow: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    post.fail = ValueError("no ink")
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    before = InboxEvent.objects.values().get()

    # Another worker had it before, and both failed.
    with mock.patch.object(handling, "handle", side_effect=RuntimeError("the desk is closed")):
        flow.deliver(meta)
        inbox.receive(before["body"], queue="desk", attempt=7, label="desk.stamp_letter")

    assert InboxEvent.objects.values().get() == before
    assert "which is a duplicate: RuntimeError: the desk is closed" in caplog.text


@pytest.mark.parametrize("error", [PermanentError("no such letter"), ValueError("no ink")])
def test_failure_of_a_duplicate_revives_no_parked_message(
    post: SimpleNamespace, flow: Flow, settings: Settings, error: Exception
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 1}
    post.fail = error
    meta = flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    settings.MICROWORKFLOWS = {}
    before = InboxEvent.objects.values().get()

    with mock.patch.object(handling, "handle", side_effect=RuntimeError("the desk is closed")):
        flow.deliver(meta)

    assert InboxEvent.objects.values().get() == before
    assert before["status"] == InboxEvent.Status.PARKED


def test_event_that_nobody_listens_to_is_parked_once_however_often_it_comes(
    post: SimpleNamespace, flow: Flow
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))
    body = OutboxEvent.objects.get().body
    inbox.receive(body, queue="archive")
    before = InboxEvent.objects.values().get()

    inbox.receive(body, queue="archive")

    assert InboxEvent.objects.values().get() == before


def test_event_that_cannot_be_built_is_parked_at_once(post: SimpleNamespace, flow: Flow) -> None:
    @microworkflow(on=post.StampedAtArchive, emits=[post.LetterWritten], context="archive")
    def garble_letter(event: object) -> DomainEvent:
        return cast(DomainEvent, post.LetterWritten(letter_id="no id"))

    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    assert [row.label for row in flow.parked] == ["archive.garble_letter"]


@pytest.mark.parametrize("error", [InternalError("read-only transaction"), ProgrammingError("no such table")])
def test_database_that_takes_no_writes_is_waited_for(
    post: SimpleNamespace, flow: Flow, error: Exception
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()))

    with (
        mock.patch.object(handling, "handle", side_effect=error),
        mock.patch.object(transaction, "atomic", side_effect=error),
        pytest.raises(DatabaseError),
    ):
        inbox.receive(OutboxEvent.objects.get().body, queue="desk")


def test_flow_that_goes_round_in_a_circle_is_stopped_and_its_last_message_parked(
    post: SimpleNamespace, flow: Flow, settings: Settings
) -> None:
    @microworkflow(on=post.StampedAtArchive, emits=[post.LetterWritten], context="letters")
    def answer_letter(event: object) -> DomainEvent:
        return cast(DomainEvent, post.LetterWritten(letter_id=uuid4()))

    settings.MICROWORKFLOWS = {"MAX_HOPS": 7}
    flow.record(post.LetterWritten(letter_id=uuid4()))

    flow.run(keep_failures=True)

    (parked,) = flow.parked
    assert parked.body["microworkflowshops"] == 7
    assert OutboxEvent.objects.count() == 8
    assert str(parked.error).startswith(
        "TooManyHopsError: letters.answer_letter is to record letters.letter_written.v1"
    )


def test_long_error_is_kept_with_its_beginning_and_its_end() -> None:
    kept = failures.storable("IntegrityError: twice " + "d" * 5_000_000 + " at the end\x00")

    assert kept.startswith("IntegrityError: twice d")
    assert kept.endswith("d at the end\ufffd")
    assert len(kept) < 20_100
