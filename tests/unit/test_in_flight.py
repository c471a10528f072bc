"""What is under way, held against the code about to run: pending, queued, waiting and parked messages."""

import json
from io import StringIO
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from microworkflows import Metadata, PermanentError, heartbeats, in_flight, inbox, outbox, registry, times
from microworkflows.models import InboxEvent, OutboxEvent

pytestmark = pytest.mark.django_db


def record(post: SimpleNamespace) -> Metadata:
    with transaction.atomic():
        return outbox.record(post.LetterWritten(letter_id=uuid4()))


def relay() -> None:
    OutboxEvent.objects.update(status=OutboxEvent.Status.RELAYED)


def serve(*queues: str, depth: int = 0) -> None:
    """Note that workers live at these queues."""
    process = heartbeats.Process(worker="w@here", host="here", pid=1, started_at=times.now())
    heartbeats.note(process, depths=dict.fromkeys(queues, depth), handling=0)


def ask_for_more(post: SimpleNamespace) -> None:
    """Let the desk's reading ask for a field that no event holds, as newer code may."""

    class WrittenAtDesk(post.WrittenAtDesk, type="letters.letter_written.v1"):  # type: ignore[call-arg,name-defined,misc]
        colour: str

    post.stamp_letter.on = WrittenAtDesk


def check(*arguments: str) -> str:
    out = StringIO()
    call_command("check_in_flight", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> str:
    out = StringIO()
    with pytest.raises(CommandError, match="would not handle") as raised:
        call_command("check_in_flight", *arguments, stdout=out)
    assert raised.value.returncode == 1
    return out.getvalue()


def test_messages_that_the_new_code_reads_are_no_problem(post: SimpleNamespace) -> None:
    record(post)
    serve("desk", "archive")
    assert "Looked at 1 pending, 0 scheduled, 0 queued, 0 waiting, 0 parked." in check()

    relay()

    assert check() == "Looked at 0 pending, 0 scheduled, 1 queued, 0 waiting, 0 parked.\n"


def test_events_that_the_new_reading_refuses_are_named_where_they_are(post: SimpleNamespace) -> None:
    serve("desk", "archive")
    queued, received = record(post), record(post)
    row = OutboxEvent.objects.get(pk=received.id)
    inbox.receive(row.body, queue="desk")
    relay()
    pending = record(post)
    ask_for_more(post)

    problems = json.loads(refused("--format", "json"))["problems"]

    found = {(each["state"], each["kind"], each["consumer"]): each for each in problems}
    assert found.keys() == {
        ("pending", "refused", "desk.stamp_letter"),
        ("queued", "refused", "desk.stamp_letter"),
    }
    assert found["pending", "refused", "desk.stamp_letter"]["ids"] == [str(pending.id)]
    assert found["queued", "refused", "desk.stamp_letter"]["ids"] == [str(queued.id)]
    assert "colour: Field required" in problems[0]["reason"]


def test_many_messages_of_one_problem_are_one_line_with_their_number(post: SimpleNamespace) -> None:
    for _ in range(in_flight.MOST_IDS + 2):
        record(post)
    ask_for_more(post)

    said = refused()

    assert "12 pending letters.letter_written.v1 for desk.stamp_letter: refused" in said
    assert "and 2 more" in said
    assert "Let the reading bear them" in said


@pytest.mark.parametrize("error", [OSError("no ink"), PermanentError("no stamp")])
def test_failed_messages_are_held_against_the_new_code_too(post: SimpleNamespace, error: Exception) -> None:
    row = OutboxEvent.objects.get(pk=record(post).id)
    post.fail = error
    inbox.receive(row.body, queue="desk")
    state = "parked" if isinstance(error, PermanentError) else "waiting"
    assert f"1 {state}" in check()

    ask_for_more(post)
    assert f"1 {state} letters.letter_written.v1 for desk.stamp_letter: refused" in refused()

    registry._workflows.remove(post.stamp_letter)
    registry._listening.clear()
    said = refused()
    assert f"1 {state} letters.letter_written.v1 for desk.stamp_letter: gone" in said
    assert f"ids {InboxEvent.objects.get().pk}" in said
    assert "manage.py dismiss" in said


def test_message_that_nobody_listened_to_waits_for_the_code_that_does(post: SimpleNamespace) -> None:
    row = OutboxEvent.objects.get(pk=record(post).id)
    inbox.receive(row.body, queue="archive")

    assert "for archive: gone" in refused()


def test_event_whose_listener_or_type_is_gone_is_named(post: SimpleNamespace) -> None:
    record(post)
    registry._workflows.remove(post.stamp_letter)
    registry._listening.clear()
    post.file_letter._context = post.file_letter.context = (
        "desk"  # the context listens to something else still
    )

    assert "for desk: gone, no microworkflow of desk listens to it any more" in refused()

    OutboxEvent.objects.update(headers={"microworkflow": None})
    registry._announcements.remove(post.LetterWritten)
    assert "unknown, no class announces it, and none reads it" in refused()


def test_what_nobody_can_tell_from_here_is_said(post: SimpleNamespace) -> None:
    record(post)
    relay()

    assert "Unknown: 1 events relayed for desk: its inbox is in another database, or no worker" in check()

    serve("desk", "archive", depth=7)
    said = check()
    assert "Unknown: messages of other services" in said
    assert "7 in archive, 7 in desk, 1 of which are known here" in said


def test_unreadable_row_is_a_problem_and_stops_no_look(post: SimpleNamespace) -> None:
    event: Any = record(post)
    row = OutboxEvent.objects.get(pk=event.id)
    OutboxEvent.objects.update(body={**row.body, "specversion": "0.3"})

    assert "specversion" in refused()
