"""Adopting: messages that an earlier version parked are problems like others, which can be replayed."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from microworkflows import inbox
from microworkflows.errors import PermanentError
from microworkflows.models import Header, HistoryEntry, InboxEvent
from microworkflows.problems import adopting, groups, replays

pytestmark = pytest.mark.django_db


class NoInkError(PermanentError):
    """Another cause than the first."""


def test_messages_of_an_earlier_version_are_grouped_by_error_and_microworkflow(post: SimpleNamespace) -> None:
    for error in (PermanentError("letter 1"), PermanentError("letter 2"), NoInkError("letter 3")):
        _parked_before_causes_were_kept(post, error)

    number = adopting.adopt()

    assert number == 3
    found = groups.overview().groups
    assert [(each.parked, each.label, each.error.partition(":")[0]) for each in found] == [
        (2, "desk.stamp_letter", "PermanentError"),
        (1, "desk.stamp_letter", "NoInkError"),
    ]
    assert adopting.adopt() == 0
    assert replays.begin(found[0].fingerprint, by="ann", per_second=5).messages.count() == 2


def test_message_whose_cause_is_known_keeps_it(post: SimpleNamespace) -> None:
    post.fail = PermanentError("no stamps")
    inbox.receive(_letter(), queue="desk")
    before = InboxEvent.objects.get().headers

    number = adopting.adopt()

    assert number == 0
    assert InboxEvent.objects.get().headers == before


def _parked_before_causes_were_kept(post: SimpleNamespace, error: Exception) -> None:
    post.fail = error
    letter = _letter()
    inbox.receive(letter, queue="desk")
    row = InboxEvent.objects.get(msg_id=f"desk.stamp_letter:{letter['id']}")
    row.headers = {name: value for name, value in row.headers.items() if name != Header.FINGERPRINT}
    row.save(update_fields=["headers"])
    HistoryEntry.objects.all().delete()


def _letter() -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/letters",
        "type": "letters.letter_written.v1",
        "correlationid": "a-flow",
        "data": {"letter_id": str(uuid4())},
    }
