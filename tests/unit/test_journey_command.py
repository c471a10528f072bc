"""``manage.py journey`` without a guest that knows more: the journey of this database in the terminal."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from microworkflows import Subject, overviews
from microworkflows.management import waterfalls
from microworkflows.overviews import Account, Line, Overview, Span
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 3, 14, 2, 48, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nobody_knows_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overviews, "overview", Overview())


@pytest.fixture
def letter(post: SimpleNamespace, flow: Flow) -> None:
    about = Subject(kind="letter", key=1, name="L-000001")
    flow.record(post.LetterWritten(letter_id=uuid4()), about=about)
    flow.run()


@pytest.mark.parametrize("term", ["l-000001", "1", "letter:1"])
def test_journey_is_found_by_name_key_and_id(
    letter: None, term: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("journey", term)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "L-000001: settled in this database, 2 events"
    assert [line.split()[0] for line in lines[1:5]] == [
        "Letter",
        "desk.stamp_letter",
        "Letter",
        "archive.file_letter",
    ]
    assert lines[2].endswith("handled")
    assert "█" in lines[2]


def test_journey_is_printed_as_json(letter: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("journey", "L-000001", format="json")

    told = json.loads(capsys.readouterr().out)
    assert told["correlation_id"] == "letter:1"
    assert [event["type"] for event in told["events"]] == [
        "letters.letter_written.v1",
        "desk.letter_stamped.v1",
    ]
    assert told["events"][0]["deliveries"][0]["status"] == "handled"


def test_flow_that_nobody_knows_is_an_error_that_says_whom_to_ask() -> None:
    with pytest.raises(CommandError, match="Ask the service in which it began"):
        call_command("journey", "X-1")


def test_waterfall_fits_the_terminal_and_obeys_no_row() -> None:
    halves = (
        Span(began_at=BEGAN, ended_at=BEGAN + timedelta(seconds=5), sign="·"),
        Span(began_at=BEGAN + timedelta(seconds=5), ended_at=None, sign="█"),
    )
    account = Account(
        title="evil \x1b[2J", summary="on its way", lines=[Line(text="a.step", note="running", spans=halves)]
    )

    drawn = list(waterfalls.rendered(account, width=60, now=BEGAN + timedelta(seconds=10)))

    assert "\x1b" not in "".join(drawn)
    assert drawn[1] == "a.step  " + "·" * 21 + "█" * 22 + "  running"
    assert max(map(len, drawn)) <= 60
