"""Sentry's SDK shows a failure as its own exception, raised in its own function, and nothing that is to be masked."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import sentry_sdk
from django.db import transaction
from pytest_django import Settings
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from microworkflows import inbox, masking, outbox, signals
from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).parents[2] / "docs/howto/error-trackers.md"


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events += filter(None, (item.get_event() for item in envelope.items))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Run the page's samples, and return what they define; what they give to ``sentry_sdk.init`` is under ``options``."""
    options: dict[str, Any] = {}
    monkeypatch.setattr(sentry_sdk, "init", lambda **given: options.update(given))
    defined: dict[str, Any] = {"__name__": "samples", "options": options}
    for sample in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(sample, defined)
    yield defined
    signals.failed.disconnect(defined["report"])


@pytest.fixture
def reports(page: dict[str, Any]) -> Iterator[list[Any]]:
    """Keep what Sentry's SDK would send, set up as the page says."""
    kept = Kept()
    options = {**page["options"], "default_integrations": False, "integrations": [LoggingIntegration()]}
    with sentry_sdk.new_scope() as scope:
        scope.set_client(sentry_sdk.Client(transport=kept, **options))
        yield kept.events


def test_each_failed_attempt_is_one_report_with_the_exception_of_the_handler(
    post: SimpleNamespace, reports: list[Any], settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 2}
    post.fail = ValueError("the stamp is dry")
    with transaction.atomic():
        meta = outbox.record(post.LetterWritten(letter_id=uuid4()))

    inbox.receive(OutboxEvent.objects.get(pk=meta.id).body, queue="desk")
    Flow().retry()

    assert [report["level"] for report in reports] == ["warning", "error"]
    for report in reports:
        (raised,) = report["exception"]["values"]
        assert (raised["type"], raised["value"]) == ("ValueError", "the stamp is dry")
        assert "stamp_letter" in [frame["function"] for frame in raised["stacktrace"]["frames"]]
    tags = reports[1]["tags"]
    assert (tags["microworkflow"], tags["context"]) == ("desk.stamp_letter", "desk")
    assert tags["event_type"] == "letters.letter_written.v1"


class BankError(Exception):
    """One that cannot be made from a text."""

    def __init__(self, code: int, card: str) -> None:
        super().__init__(code, card)


def test_exception_with_a_hidden_text_is_filed_under_its_own_class_and_place() -> None:
    def charge() -> None:
        try:
            dict[str, str]()["4242"]
        except KeyError as error:
            error.add_note("of card 4242")
            raise BankError(7, "4242") from error

    try:
        charge()
    except BankError as error:
        raised = error
    shown = masking.error(raised, lambda text: text.replace("4242", "•"))
    report, _ = sentry_sdk.utils.event_from_exception(shown)

    assert masking.error(raised, lambda text: text) is raised
    values: Any = report["exception"]["values"]
    assert [(each["type"], each["value"]) for each in values] == [
        ("KeyError", "'•'\nof card •"),
        ("BankError", "(7, '•')"),
    ]
    assert [each["stacktrace"]["frames"][-1]["function"] for each in values] == ["charge", "charge"]
    assert values[-1]["module"] == __name__
    assert "4242" not in json.dumps([each["value"] for each in values])


def test_group_of_exceptions_and_one_without_a_text_are_hidden_as_well() -> None:
    class Mute(Exception):  # noqa: N818  (it has a bug of its own)
        def __str__(self) -> str:
            raise RuntimeError("no text")

    group = ExceptionGroup("two of 4242", [ValueError("4242"), Mute()])

    shown = masking.error(group, lambda text: text.replace("4242", "•"))

    assert isinstance(shown, BaseExceptionGroup)
    assert shown.message == "two of •"
    assert [str(each) for each in shown.exceptions] == ["•", "(its text cannot be made: RuntimeError)"]
