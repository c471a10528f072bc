"""Alerts: many alarms of one cause are one message, which each receiver gets at least once."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from pytest_django import Settings

from microworkflows.journal import alerts, retention
from microworkflows.journal.models import Alarm, Alert
from tests.unit.journal import rows
from tests.unit.journal.rows import NOW, ago

pytestmark = [
    pytest.mark.django_db,
    # Django 6.1 would have every project name its mailers, which 5.2 does not know: that is the project's to do.
    pytest.mark.filterwarnings("ignore:Django 2028 will not have a default mailer"),
]

SOON = NOW + alerts.GATHERS


class Receiver(BaseHTTPRequestHandler):
    """Takes messages, and answers as the test wants."""

    answers: list[int]
    got: list[tuple[dict[str, Any], str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((json.loads(body), self.headers["Idempotency-Key"]))
        self.send_response(self.answers.pop() if self.answers else 204)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver(settings: Settings) -> Iterator[type[Receiver]]:
    Receiver.answers, Receiver.got = [], []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    settings.MICROWORKFLOWS = {"JOURNAL_ALERT_WEBHOOK": f"http://127.0.0.1:{server.server_port}/hook"}
    yield Receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def mailed(settings: Settings) -> None:
    settings.MICROWORKFLOWS = {
        "JOURNAL_ALERT_MAIL": ["ops@example.com"],
        "JOURNAL_ADMIN_URL": "https://shop.example.com/admin/",
    }


def raised(number: int = 1, *, cause: str = "worker", **values: Any) -> Alarm:
    alarm = Alarm.objects.create(
        flow=rows.flow(f"A-{number:06}"),
        awaited="shipping.shipment_scheduled.v1",
        of="orders.order_accepted.v1",
        due_at=ago(60),
        raised_at=NOW,
        owner="payments",
        cause=cause,
        details="payments has no worker since 02:40.",
        **values,
    )
    alerts.note(alarm, now=NOW)
    return alarm


def test_nothing_is_kept_if_nobody_wants_messages() -> None:
    raised()

    assert not Alert.objects.exists()


@pytest.mark.usefixtures("mailed")
def test_five_thousand_alarms_of_one_cause_are_one_mail_with_their_number() -> None:
    raised(1)
    Alert.objects.update(count=4_998)
    raised(2)
    raised(3)
    raised(4, cause="parked")

    assert alerts.send_due(NOW) == 0
    assert alerts.send_due(SOON) == 2
    assert alerts.send_due(SOON) == 0

    first, second = mail.outbox
    assert "A-000001 and 4,999 more" in first.subject
    assert first.to == ["ops@example.com"]
    assert "payments has no worker since 02:40." in first.body
    assert "- and 4,997 more" in first.body
    assert "https://shop.example.com/admin/microworkflows_journal/alarm/" in first.body
    assert "A-000004: " in second.subject


@pytest.mark.usefixtures("mailed")
def test_what_follows_within_a_minute_waits_for_the_next_message() -> None:
    raised(1)
    alerts.send_due(SOON)
    raised(2)
    raised(3)

    assert alerts.send_due(SOON + alerts.PAUSE - timedelta(seconds=1)) == 0
    assert alerts.send_due(SOON + alerts.PAUSE) == 1

    assert "A-000002 and 1 more" in mail.outbox[1].subject


@pytest.mark.usefixtures("mailed")
def test_the_end_of_an_alarm_is_told_too() -> None:
    raised(closed_at=NOW)

    alerts.send_due(SOON)

    assert mail.outbox[0].subject.startswith("[microworkflows] No longer overdue: A-000001")


def test_webhook_gets_the_facts_and_a_key(receiver: type[Receiver]) -> None:
    flow = raised().flow

    assert alerts.send_due(SOON) == 1

    ((body, key),) = receiver.got
    assert body["key"] == key == str(Alert.objects.get().pk)
    assert (body["kind"], body["owner"], body["cause"], body["count"]) == ("overdue", "payments", "worker", 1)
    assert body["flows"] == [{"subject": "A-000001", "correlation_id": flow.correlation_id}]


@pytest.mark.parametrize("answer", [500, 302])
def test_a_message_that_was_refused_is_sent_again_later_with_the_same_key(
    receiver: type[Receiver], answer: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [answer]
    raised()

    assert [alerts.send_due(SOON), alerts.send_due(SOON)] == [0, 0]
    assert "could not be sent" in caplog.text
    assert alerts.send_due(SOON + timedelta(seconds=30)) == 1

    assert len(receiver.got) == 2
    assert receiver.got[0] == receiver.got[1]


def test_a_crash_between_sending_and_noting_sends_again(
    receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    raised()

    def crash(self: Alert, **kwargs: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Alert, "save", crash)
        with pytest.raises(SystemExit):
            alerts.send_due(SOON)
    alerts.send_due(SOON + timedelta(seconds=30))

    assert [key for _, key in receiver.got] == [str(Alert.objects.get().pk)] * 2


def test_one_receiver_that_is_away_keeps_no_message_from_the_other(
    receiver: type[Receiver], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MICROWORKFLOWS |= {"JOURNAL_ALERT_MAIL": ["ops@example.com"]}

    def refuse(self: EmailBackend, messages: object) -> int:
        raise ConnectionRefusedError("no mail server")

    raised()
    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", refuse)
        alerts.send_due(SOON)
    alerts.send_due(SOON + timedelta(seconds=30))

    assert (len(receiver.got), len(mail.outbox)) == (1, 1)


def test_a_message_that_nobody_takes_for_a_day_is_given_up(
    receiver: type[Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [500, 500]
    raised()

    alerts.send_due(SOON)
    alerts.send_due(SOON + timedelta(days=2))

    assert Alert.objects.get().done_at is not None
    assert "was given up" in caplog.text


@pytest.mark.usefixtures("mailed")
def test_messages_that_all_have_are_purged_with_the_journal() -> None:
    raised(1)
    alerts.send_due(SOON)
    raised(2)

    retention.purge(now=NOW + timedelta(days=31))

    assert Alert.objects.get().done_at is None
