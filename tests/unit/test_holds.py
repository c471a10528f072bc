"""Pause and resume: what is held waits in the inbox without an attempt, and comes back when the hold is over."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from microworkflows import holds, inbox, outbox, purging, times
from microworkflows.management.base import Exit
from microworkflows.models import Hold, InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.testing import Flow
from tests.integration.support.waiting import eventually

pytestmark = pytest.mark.django_db

KIND = Hold.Kind
STAMP = "desk.stamp_letter"


def record(post: SimpleNamespace, flow: Flow) -> dict[str, Any]:
    """Record a letter; return its event as a worker gets it."""
    flow.record(post.LetterWritten(letter_id=uuid4()))
    body: dict[str, Any] = OutboxEvent.objects.order_by("-added", "-id")[0].body
    return body


def pause(kind: Hold.Kind, name: str, **given: Any) -> Hold:
    made = holds.pause(kind, name, by="ada", why="the bank is closed", **given)
    holds.look(anew=True)
    return made


def resume(kind: Hold.Kind, name: str) -> None:
    """Resume it two seconds ago: by now, every process knows."""
    hold = holds.resume(kind, name, by="ada")
    Hold.objects.filter(pk=hold.pk).update(ended_at=times.now() - timedelta(seconds=2))
    holds.look(anew=True)


def due() -> list[Any]:
    return store.due_retries("desk", limit=100, now=timezone.now())


@pytest.mark.parametrize("kind", list(KIND))
def test_paused_message_waits_without_an_attempt_and_is_handled_once_resumed(
    post: SimpleNamespace, flow: Flow, kind: Hold.Kind
) -> None:
    event = record(post, flow)
    names = {KIND.CONTEXT: "desk", KIND.MICROWORKFLOW: STAMP, KIND.FLOW: event["correlationid"]}
    pause(kind, names[kind])

    inbox.receive(event, queue="desk")

    row = InboxEvent.objects.get()
    assert (row.status, row.attempts, post.calls) == (InboxEvent.Status.WAITING, 0, [])
    assert due() == []
    resume(kind, names[kind])
    (message,) = due()
    inbox.receive(event, queue="desk", attempt=message.attempt, label=message.label)
    assert [name for name, _ in post.calls] == ["stamp_letter"]
    row.refresh_from_db()
    assert row.status == InboxEvent.Status.HANDLED
    assert not row.history.exists()


def test_hold_keeps_nothing_else_back(post: SimpleNamespace, flow: Flow) -> None:
    event, other = record(post, flow), record(post, flow)
    pause(KIND.CONTEXT, "des")
    pause(KIND.MICROWORKFLOW, "archive.file_letter")
    pause(KIND.FLOW, other["correlationid"])

    inbox.receive(event, queue="desk")

    assert len(post.calls) == 1


def test_bundle_puts_aside_what_is_paused_and_handles_the_others(post: SimpleNamespace, flow: Flow) -> None:
    events = [record(post, flow) for _ in range(4)]
    pause(KIND.FLOW, events[1]["correlationid"])

    inbox.receive_bundle(events, queue="desk")

    assert len(post.calls) == 3
    assert InboxEvent.objects.waiting().get().event_id == OutboxEvent.objects.get(body__id=events[1]["id"]).pk


def test_redelivered_and_repeated_deliveries_of_what_is_paused_change_nothing(
    post: SimpleNamespace, flow: Flow
) -> None:
    event = record(post, flow)
    post.fail = ValueError("no ink")
    inbox.receive(event, queue="desk")
    InboxEvent.objects.update(expires_at=times.now() + timedelta(hours=1))
    pause(KIND.CONTEXT, "desk")

    inbox.receive(event, queue="desk", attempt=1, label=STAMP)
    inbox.receive(event, queue="desk")

    row = InboxEvent.objects.get()
    assert (row.status, row.attempts, len(post.calls)) == (InboxEvent.Status.WAITING, 1, 1)
    assert row.due_at <= timezone.now()


def test_handled_message_stays_handled_while_its_microworkflow_is_paused(
    post: SimpleNamespace, flow: Flow
) -> None:
    event = record(post, flow)
    inbox.receive(event, queue="desk")
    pause(KIND.MICROWORKFLOW, STAMP)

    inbox.receive(event, queue="desk")

    assert InboxEvent.objects.get().status == InboxEvent.Status.HANDLED


def test_hold_with_an_end_is_over_by_itself_and_may_be_followed_by_another(
    post: SimpleNamespace, flow: Flow
) -> None:
    event = record(post, flow)
    hold = pause(KIND.CONTEXT, "desk", ends_at=datetime.now(UTC) + timedelta(hours=1))
    inbox.receive(event, queue="desk")
    assert due() == []

    Hold.objects.filter(pk=hold.pk).update(ends_at=times.now() - timedelta(seconds=2))
    holds.look(anew=True)

    assert len(due()) == 1
    assert holds.in_force() == []
    pause(KIND.CONTEXT, "desk")
    assert Hold.objects.filter(ended_at=None).count() == 1


def test_what_waited_comes_back_few_at_first_and_then_more() -> None:
    pause(KIND.CONTEXT, "desk")
    paused = holds.most_back("desk", limit=500, now=datetime.now(UTC))
    resume(KIND.CONTEXT, "desk")
    ended_at = Hold.objects.get().ended_at
    assert ended_at is not None
    ended_at = times.aware(ended_at)

    found = [
        holds.most_back("desk", limit=500, now=ended_at + timedelta(seconds=seconds))
        for seconds in (0, 3, 9, 20)
    ]

    assert (paused, found) == (500, [10, 80, 500, 500])
    assert holds.most_back("archive", limit=500, now=ended_at) == 500


def test_what_waited_comes_back_when_every_process_knows_that_the_pause_is_over(
    post: SimpleNamespace, flow: Flow
) -> None:
    event = record(post, flow)
    pause(KIND.CONTEXT, "desk")
    inbox.receive(event, queue="desk")

    holds.resume(KIND.CONTEXT, "desk", by="ada")
    holds.look(anew=True)

    assert due() == []  # a worker that still knows the pause would put it aside, behind those that came later
    Hold.objects.update(ended_at=times.now() - timedelta(seconds=2))
    holds.look(anew=True)
    assert len(due()) == 1


def in_flow(post: SimpleNamespace, flow: str) -> dict[str, Any]:
    """Record a letter in a flow of several; return its event as a worker gets it."""
    with transaction.atomic():
        recorded = outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id=flow)
    body: dict[str, Any] = OutboxEvent.objects.get(pk=recorded.id).body
    return body


@pytest.mark.parametrize("kind", list(KIND))
@pytest.mark.parametrize("receive", [inbox.receive_bundle, None], ids=["bundled", "alone"])
def test_new_event_follows_those_of_its_flow_that_waited(
    post: SimpleNamespace, flow: Flow, kind: Hold.Kind, receive: Any
) -> None:
    first, second, third, other = (in_flow(post, name) for name in ("one", "one", "one", "other"))
    name = {KIND.CONTEXT: "desk", KIND.MICROWORKFLOW: STAMP, KIND.FLOW: "one"}[kind]
    pause(kind, name)
    inbox.receive(first, queue="desk")
    resume(kind, name)

    if receive:
        receive([second, other], queue="desk")
    else:
        for event in (second, other):
            inbox.receive(event, queue="desk")

    assert stamped(post) == [letter(other)]
    for message in due():
        event = json.loads(message.body)
        inbox.receive(event, queue="desk", attempt=message.attempt, label=message.label)
    assert stamped(post) == [letter(other), letter(first), letter(second)]
    inbox.receive(third, queue="desk")
    assert stamped(post)[3:] == [letter(third)]
    assert set(InboxEvent.objects.values_list("retry", "status")) == {(0, InboxEvent.Status.HANDLED)}


def test_message_that_failed_keeps_no_others_of_its_flow_waiting(post: SimpleNamespace, flow: Flow) -> None:
    first, second = in_flow(post, "one"), in_flow(post, "one")
    pause(KIND.CONTEXT, "desk")
    inbox.receive(first, queue="desk")
    resume(KIND.CONTEXT, "desk")
    post.fail = ValueError("no ink")
    inbox.receive(first, queue="desk", attempt=0, label=STAMP)
    post.fail = None

    inbox.receive(second, queue="desk")

    assert stamped(post)[1:] == [letter(second)]


def test_flow_keeps_its_order_until_all_is_back_and_costs_nothing_afterwards(
    post: SimpleNamespace, flow: Flow, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(holds, "_RAMP", timedelta(seconds=1))
    first, second = in_flow(post, "one"), in_flow(post, "one")
    pause(KIND.CONTEXT, "desk")
    inbox.receive(first, queue="desk")
    resume(KIND.CONTEXT, "desk")

    inbox.receive(second, queue="desk")
    assert stamped(post) == []
    for message in due():
        inbox.receive(json.loads(message.body), queue="desk", attempt=message.attempt, label=message.label)
    assert stamped(post) == [letter(first), letter(second)]

    holds.look(anew=True)
    with django_assert_num_queries(0):
        assert holds.over(STAMP, flow="one", is_new=True) is None


def stamped(post: SimpleNamespace) -> list[str]:
    """Return the ids of the letters that were stamped, in this order."""
    return [str(letter_id) for name, letter_id in post.calls if name == "stamp_letter"]


def letter(event: dict[str, Any]) -> str:
    return str(event["data"]["letter_id"])


def test_holds_are_read_once_a_second_and_those_read_last_count_while_the_database_is_away(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    pause(KIND.CONTEXT, "desk")
    with django_assert_num_queries(0):
        holds.look()

    def refuse(*args: object, **options: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(Hold.objects, "filter", refuse)
    holds.look(anew=True)

    assert holds.over(STAMP, flow="x", is_new=True) is not None


def test_pause_without_reason_or_with_an_end_that_has_passed_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        holds.pause(KIND.CONTEXT, "desk", by="ada", why=" ")
    with pytest.raises(ValueError, match="has passed"):
        holds.pause(KIND.CONTEXT, "desk", by="ada", why="x", ends_at=datetime(2020, 1, 1, tzinfo=UTC))


def test_commands_tell_who_paused_what_and_how_much_waits(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    event = record(post, flow)
    call_command("pause", "desk", why="the bank is closed", by="ada")
    call_command("pause", STAMP, why="it stamps twice", minutes=5)
    call_command("pause", flow=event["correlationid"], why="asked by phone")
    holds.look(anew=True)
    inbox.receive(event, queue="desk")

    with pytest.raises(CommandError, match="by ada: the bank is closed"):
        call_command("pause", "desk", why="again")
    capsys.readouterr()
    call_command("paused")
    text = capsys.readouterr().out
    call_command("paused", format="json")
    told = json.loads(capsys.readouterr().out)

    assert "context desk" in text
    assert "the bank is closed" in text
    assert [(each["kind"], each["waiting"]) for each in told] == [
        ("context", 1),
        ("microworkflow", 1),
        ("flow", 1),
    ]
    call_command("resume", "desk", by="bob")
    with pytest.raises(CommandError, match="is not paused"):
        call_command("resume", "desk")
    ended = Hold.objects.get(name="desk")
    assert (ended.by, ended.ended_by) == ("ada", "bob")


@pytest.mark.parametrize("given", [{"why": " "}, {"why": "x", "minutes": -1}, {"why": "x", "minutes": 1e300}])
def test_pause_that_makes_no_sense_is_misused(post: SimpleNamespace, given: dict[str, Any]) -> None:
    with pytest.raises(CommandError) as raised:
        call_command("pause", "desk", **given)

    assert raised.value.returncode == Exit.MISUSED


def test_commands_of_the_guide_run() -> None:
    guide = Path(__file__).parents[2] / "docs" / "howto" / "pause.md"
    (block,) = re.findall(r"```sh\n(.*?)```", guide.read_text(), re.DOTALL)

    for line in block.splitlines():
        call_command(*shlex.split(line.removeprefix("python manage.py ")))

    assert Hold.objects.get().ended_at is not None


def test_hold_that_is_over_is_purged_and_one_in_force_is_not() -> None:
    long_ago = times.stored(datetime.now(UTC) - timedelta(days=90))
    pause(KIND.CONTEXT, "desk")
    pause(KIND.CONTEXT, "archive")
    Hold.objects.update(began_at=long_ago)
    Hold.objects.filter(name="archive").update(ended_at=long_ago)

    purged = purging.purge(now=datetime.now(UTC), rest=lambda _: None)

    assert purged.holds == 1
    assert Hold.objects.get().name == "desk"


@pytest.mark.parametrize("kind", list(KIND))
def test_journey_in_a_terminal_says_what_is_paused(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str], kind: Hold.Kind
) -> None:
    event = record(post, flow)
    names = {KIND.CONTEXT: "desk", KIND.MICROWORKFLOW: STAMP, KIND.FLOW: event["correlationid"]}
    hold = pause(kind, names[kind])
    pause(KIND.CONTEXT, "archive")

    call_command("journey", event["correlationid"])

    said = capsys.readouterr().out
    assert f"The {hold} is paused since" in said
    assert "by ada: the bank is closed" in said
    assert "archive is paused" not in said


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_who_pause_at_the_same_moment_one_is_told_so(post: SimpleNamespace) -> None:
    said: list[str] = []

    def pause_too() -> None:
        try:
            holds.pause(KIND.CONTEXT, "desk", by="grace", why="so")
        except holds.AlreadyPausedError as error:
            said.append(str(error))
        finally:
            connection.close()

    other = Thread(target=pause_too)
    with transaction.atomic():
        holds.pause(KIND.CONTEXT, "desk", by="ada", why="so")
        other.start()
        eventually(is_anybody_kept_waiting, what="the other waits for this transaction")
    other.join()

    assert said == ["Somebody else has paused the context desk at this very moment."]
    assert Hold.objects.get().by == "ada"


def is_anybody_kept_waiting() -> bool:
    with connection.cursor() as cursor:
        waits = "NOT granted AND locktype = 'transactionid' AND transactionid = pg_current_xact_id()::xid"
        cursor.execute(f"SELECT EXISTS (SELECT FROM pg_locks WHERE {waits})")
        return bool(cursor.fetchone()[0])
