import json
import re
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from microworkflows import Subject, times
from microworkflows.errors import PermanentError
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.testing import Flow


@pytest.fixture
def parked(post: SimpleNamespace, flow: Flow) -> InboxEvent:
    post.fail = PermanentError("no such letter")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)
    return flow.parked[0]


def test_parked_lists_what_failed_and_how_to_go_on(
    parked: InboxEvent, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("parked")

    listed = capsys.readouterr().out
    assert str(parked.pk) in listed
    assert "desk.stamp_letter" in listed
    assert "PermanentError: no such letter" in listed
    assert "1 messages. `manage.py replay" in listed


def test_parked_can_be_asked_of_one_context_and_for_what_waits(
    post: SimpleNamespace, flow: Flow, parked: InboxEvent, capsys: pytest.CaptureFixture[str]
) -> None:
    post.fail = ValueError("later")
    flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(keep_failures=True)

    call_command("parked", "archive")
    call_command("parked", "desk", waiting=True)

    assert [line for line in capsys.readouterr().out.splitlines() if "messages." in line] == [
        "0 messages. `manage.py replay ID …` tries them again.",
        "2 messages. `manage.py replay ID …` tries them again.",
    ]


@pytest.mark.parametrize("term", ["l-000001", "1", "letter:1"])
def test_parked_messages_are_listed_and_replayed_by_what_their_flow_is_about(
    parked: InboxEvent, post: SimpleNamespace, flow: Flow, term: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, key, name in (("letter", 1, "L-000001"), ("letter", 2, "L-000002"), ("parcel", 3, "")):
        flow.record(post.LetterWritten(letter_id=uuid4()), about=Subject(kind=kind, key=key, name=name))
    flow.run(keep_failures=True)

    call_command("parked")
    call_command("parked", about=term)
    call_command("replay", about=term)

    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" about ")[2].split("  ")[0] for line in lines[:4]] == [
        "",
        "L-000001",
        "L-000002",
        "3",
    ]
    assert lines[4].startswith("4 messages.")
    assert re.search(r" about L-000001  \S+ m?s old  PermanentError", lines[5])
    assert lines[6].startswith("1 messages.")
    assert lines[7].startswith("1 messages are due now")
    assert [row.subject and row.subject.key for row in InboxEvent.objects.waiting()] == ["1"]


@pytest.mark.parametrize("how", ["id", "context", "all"])
def test_replay_makes_parked_messages_due(
    parked: InboxEvent, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"id": [str(parked.pk)], "context": ["--context", "desk"], "all": ["--all"]}[how]

    call_command("replay", *arguments)

    assert capsys.readouterr().out.startswith("1 messages are due now")
    assert InboxEvent.objects.waiting().count() == 1


def test_replay_of_another_context_touches_nothing(parked: InboxEvent) -> None:
    call_command("replay", "--context", "archive")

    assert InboxEvent.objects.parked().count() == 1


def test_replay_refuses_ids_that_are_not_parked_and_replays_none(parked: InboxEvent) -> None:
    with pytest.raises(CommandError, match=r"Not parked or dismissed: .* Nothing was replayed"):
        call_command("replay", str(parked.pk), str(uuid4()))

    assert InboxEvent.objects.parked().count() == 1


def test_unheard_counts_by_type_and_relays_again(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=[])

    call_command("unheard")
    with pytest.raises(
        CommandError, match=r"No such event type: letters\.other\.v1\. Do you mean 'letters\."
    ):
        call_command("unheard", "letters.other.v1", relay=True)
    call_command("unheard", "letters.letter_written.v1", relay=True)

    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +2  letters\.letter_written\.v1  the oldest .+ old", lines[0])
    assert lines[2] == "2 events are pending again."
    assert OutboxEvent.objects.pending().count() == 2


@pytest.mark.parametrize("command", ["relay", "dead_letters"])
def test_commands_name_the_contexts_there_are(command: str) -> None:
    with pytest.raises(CommandError, match=r"No such context: billing\. .*Known are: .*orders"):
        call_command(command, "billing")


def test_events_relayed_since_a_time_are_relayed_again(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (flow.record(post.LetterWritten(letter_id=uuid4())).id for _ in range(2))
    flow.run()
    OutboxEvent.objects.filter(pk=old).update(added=timezone.now() - timedelta(hours=2))
    since = (timezone.now() - timedelta(hours=1)).isoformat()

    call_command("relay", "archive", again=True, since=since)
    with pytest.raises(CommandError, match=r"No such event type: letters\.other\.v1"):
        call_command("relay", again=True, since=since, types=["letters.other.v1"])
    assert not OutboxEvent.objects.pending().exists()
    call_command("relay", again=True, since=since, types=["letters.letter_written.v1"])

    assert [line.split(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "0 events are pending again",
        "1 events are pending again",
    ]
    assert [row.pk for row in OutboxEvent.objects.pending()] == [new]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"again": True}, "--again needs the time"),
        ({"again": True, "since": "yesterday"}, "'yesterday' is none"),
        ({"again": True, "since": "2026-13-01T12:00"}, "is none"),
        ({"again": True, "since": "2020-01-01T12:00"}, r"more than 30 days ago \(RETENTION_DAYS\)"),
        ({"since": "2026-01-01T12:00"}, "belong to --again"),
    ],
)
def test_relaying_again_needs_a_time_that_inboxes_remember(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        call_command("relay", **options)


def test_unreceived_says_how_old_the_oldest_is(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    old, _ = (flow.record(post.LetterWritten(letter_id=uuid4())) for _ in range(2))
    flow.run()
    InboxEvent.objects.filter(msg_id__startswith="desk.stamp_letter:").delete()
    added = timezone.now() - timedelta(days=3, hours=5, minutes=30)
    OutboxEvent.objects.filter(pk=old.id).update(added=added)

    call_command("unreceived", minutes=0, hours=200)
    listed, *_ = capsys.readouterr().out.splitlines()
    call_command("unreceived", minutes=0, hours=200, format="json")
    (told,) = json.loads(capsys.readouterr().out)["missing"]

    assert listed.split(maxsplit=3) == [
        "2",
        "letters.letter_written.v1",
        "desk.stamp_letter",
        "the oldest 3 d 5 h old",
    ]
    assert abs(datetime.fromisoformat(told.pop("oldest_at")) - times.aware(added)) < timedelta(milliseconds=1)
    assert told == {"event_type": "letters.letter_written.v1", "listener": "desk.stamp_letter", "number": 2}


def test_unreceived_counts_what_a_listener_misses(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run()
    call_command("unreceived", minutes=0)
    assert capsys.readouterr().out == "0 deliveries are missing.\n"
    lost, _ = InboxEvent.objects.filter(msg_id__startswith="desk.stamp_letter:")[:2]
    InboxEvent.objects.filter(pk=lost.pk).delete()

    call_command("unreceived", minutes=0)
    listed, total, hint = capsys.readouterr().out.splitlines()
    call_command("unreceived")

    number, event_type, listener, *age = listed.split()
    assert (number, event_type, listener) == ("1", "letters.letter_written.v1", "desk.stamp_letter")
    assert (age[:2], age[-1]) == (["the", "oldest"], "old")
    assert total == "1 deliveries are missing."
    assert "`manage.py relay --again --since 20" in hint
    assert hint.endswith("--type letters.letter_written.v1` relays them once more.")
    assert capsys.readouterr().out == "0 deliveries are missing.\n", "they may still be under way"
