"""Log lines of a hop carry the fields that a log search goes by, and a failure its exception."""

import logging
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import transaction
from pytest_django import Settings

from microworkflows import Subject, inbox, outbox, traceparent
from microworkflows.logs import TraceIds
from microworkflows.models import OutboxEvent
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Collect lines from INFO up."""
    caplog.set_level(logging.INFO, logger="microworkflows")
    return caplog


def _record(post: SimpleNamespace) -> OutboxEvent:
    with transaction.atomic():
        meta = outbox.record(post.LetterWritten(letter_id=uuid4()), correlation_id="a-flow")
    return OutboxEvent.objects.get(pk=meta.id)


def _line(lines: pytest.LogCaptureFixture, beginning: str) -> logging.LogRecord:
    (line,) = [record for record in lines.records if record.getMessage().startswith(beginning)]
    return line


def _fields(line: logging.LogRecord) -> tuple[object, ...]:
    names = ("event_id", "event_type", "correlation_id", "context", "microworkflow")
    return tuple(line.__dict__[name] for name in names)


def test_each_line_of_a_hop_names_event_flow_context_and_microworkflow(
    post: SimpleNamespace, lines: pytest.LogCaptureFixture
) -> None:
    row = _record(post)

    inbox.receive(row.body, queue="desk")
    inbox.receive(row.body, queue="desk")

    about = (str(row.pk), "letters.letter_written.v1", "a-flow")
    assert _fields(_line(lines, f"recorded letters.letter_written.v1 {row.pk}")) == (*about, "letters", None)
    handled = _line(lines, "handled ")
    assert _fields(handled) == (*about, "desk", "desk.stamp_letter")
    assert handled.__dict__["duration"] > 0
    assert _fields(_line(lines, "skipped ")) == (*about, "desk", "desk.stamp_letter")
    stamped = _line(lines, "recorded desk.letter_stamped.v1")
    assert _fields(stamped)[2:] == ("a-flow", "desk", "desk.stamp_letter")


def test_each_line_of_a_hop_names_its_trace(post: SimpleNamespace, lines: pytest.LogCaptureFixture) -> None:
    row = _record(post)

    inbox.receive(row.body, queue="desk")

    trace_id, span_id = row.body["traceparent"].split("-")[1:3]
    handled, stamped = _line(lines, "handled "), _line(lines, "recorded desk")
    assert (handled.__dict__["trace_id"], handled.__dict__["span_id"]) == (trace_id, span_id)
    assert stamped.__dict__["trace_id"] == trace_id
    assert stamped.__dict__["span_id"] != span_id, "the event that it tells of was created later"


def test_lines_of_other_loggers_get_the_trace_by_a_filter(
    post: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []

    def log(_: object) -> None:
        line = logging.makeLogRecord({"msg": "stamping"})
        TraceIds().filter(line)
        lines.append((line.__dict__["trace_id"], line.__dict__["span_id"]))

    monkeypatch.setattr(post, "calls", SimpleNamespace(append=log))
    row = _record(post)

    inbox.receive(row.body, queue="desk")
    log(None)
    with traceparent.continued_from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        log(None)

    assert lines == [
        tuple(row.body["traceparent"].split("-")[1:3]),
        (None, None),
        ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
    ]


def test_filter_leaves_the_trace_that_a_line_has() -> None:
    line = logging.makeLogRecord({"msg": "stamping", "trace_id": "another's"})

    assert TraceIds().filter(line)
    assert line.__dict__["trace_id"] == "another's"


def test_line_names_what_the_flow_is_about(post: SimpleNamespace, lines: pytest.LogCaptureFixture) -> None:
    with transaction.atomic():
        meta = outbox.record(
            post.LetterWritten(letter_id=uuid4()), about=Subject(kind="letter", key=1, name="L 1")
        )
    inbox.receive(OutboxEvent.objects.get(pk=meta.id).body, queue="desk")
    unnamed = _record(post)

    handled = _line(lines, "handled ")
    assert handled.getMessage().endswith("correlation=letter:1 about='L 1' by desk.stamp_letter")
    assert (handled.__dict__["subject"], handled.__dict__["subject_name"]) == ("letter:1", "L 1")
    line = _line(lines, f"recorded letters.letter_written.v1 {unnamed.pk}")
    assert (line.__dict__["subject"], line.__dict__["subject_name"]) == (None, None)
    assert "about" not in line.getMessage()


def test_failure_carries_its_exception_and_attempt(
    post: SimpleNamespace, lines: pytest.LogCaptureFixture, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"MAX_ATTEMPTS": 2}
    post.fail = ValueError("the stamp is dry")
    row = _record(post)

    inbox.receive(row.body, queue="desk")
    Flow().retry()

    about = (str(row.pk), "letters.letter_written.v1", "a-flow", "desk", "desk.stamp_letter")
    for beginning, level, attempt in (("retry ", logging.WARNING, 1), ("parked ", logging.ERROR, 2)):
        line = _line(lines, beginning)
        assert (line.levelno, _fields(line), line.__dict__["attempt"]) == (level, about, attempt)
        assert line.exc_info is not None
        assert line.exc_info[1] is post.fail


def test_bundled_runs_tell_how_long_each_took(post: SimpleNamespace, lines: pytest.LogCaptureFixture) -> None:
    rows = [_record(post) for _ in range(3)]

    inbox.receive_bundle([row.body for row in rows], queue="desk")

    handled = [line for line in lines.records if line.getMessage().startswith("handled ")]
    assert [line.__dict__["event_id"] for line in handled] == [str(row.pk) for row in rows]
    assert all(line.__dict__["duration"] > 0 for line in handled)
