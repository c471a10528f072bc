from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

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
    with pytest.raises(CommandError, match=r"Not parked: .* Nothing was replayed"):
        call_command("replay", str(parked.pk), str(uuid4()))

    assert InboxEvent.objects.parked().count() == 1


def test_unheard_counts_by_type_and_relays_again(
    post: SimpleNamespace, flow: Flow, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        flow.record(post.LetterWritten(letter_id=uuid4()))
    flow.run(contexts=[])

    call_command("unheard")
    call_command("unheard", "letters.other.v1", relay=True)
    call_command("unheard", "letters.letter_written.v1", relay=True)

    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "2  letters.letter_written.v1",
        "0 events are pending again.",
        "2  letters.letter_written.v1",
        "2 events are pending again.",
    ]
    assert OutboxEvent.objects.pending().count() == 2


@pytest.mark.parametrize("command", ["relay", "dead_letters"])
def test_commands_name_the_contexts_there_are(command: str) -> None:
    with pytest.raises(CommandError, match=r"No such context: billing. Installed are: .*orders"):
        call_command(command, "billing")
