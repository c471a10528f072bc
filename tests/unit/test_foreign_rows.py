"""Rows that django-outbox-pattern wrote itself, say before the kit was installed, are nothing to the kit."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_outbox_pattern.models import Published, Received

from microworkflows import journeys
from microworkflows.admin.counts import counts
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.testing import Flow

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(days=400)


@pytest.fixture(autouse=True)
def foreign_rows(post: SimpleNamespace) -> list[Any]:
    """Rows of the library in each of its statuses and of this kit's, some of which look much like the kit's."""
    for status in (-1, 1, 2, 3):
        for body in ({"id": 1}, ["no", "object"], {"specversion": "1.0", "correlationid": "letter-1"}):
            Published(destination="letters.letter_written", version="v1", body=body, status=status).save()
        for msg_id in (
            None,
            str(uuid4()),
            f"ID:broker-1:{status}",
            f"urn:uuid:{uuid4()}",
            f"desk.x:{status}",
        ):
            Received.objects.create(
                msg_id=msg_id, body={}, headers={"type": "t", "correlation_id": "letter-1"}, status=status
            )
        Received.objects.create(msg_id=f"desk.stamp_letter:{uuid4()}", status=status)
    for model in (Published, Received):
        model.objects.update(added=LONG_AGO, expires_at=LONG_AGO)
    return _rows()


def _rows() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (Published, Received)]


def test_relay_takes_none_of_them() -> None:
    assert store.due_events("letters", limit=99, now=timezone.now()).messages == []
    assert store.due_retries("desk", limit=99, now=timezone.now()) == []


def test_commands_leave_them_alone(foreign_rows: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("unheard", relay=True)
    call_command("parked", waiting=True)
    call_command("replay", all=True)
    call_command("purge_events")

    assert [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "0",
        "0",
        "0",
        "Deleted",
    ]
    assert _rows() == foreign_rows


@pytest.mark.parametrize("model", ["outboxevent", "inboxevent"])
@pytest.mark.parametrize("query", ["", "?q=letter-1", "?status=parked", "?status=unheard", "?context=desk"])
def test_admin_does_not_list_them(admin_client: Client, model: str, query: str) -> None:
    response = admin_client.get(reverse(f"admin:microworkflows_{model}_changelist") + query)

    assert response.status_code == 200
    assert list(response.context["cl"].result_list) == []


def test_they_are_neither_counted_nor_part_of_a_journey() -> None:
    assert [count.number for count in counts()] == [0] * 5
    assert journeys.journey("letter-1").steps == ()


def test_messages_of_the_kit_travel_beside_them(
    post: SimpleNamespace, flow: Flow, foreign_rows: list[Any]
) -> None:
    flow.record(post.LetterWritten(letter_id=uuid4()), correlation_id="letter-1")
    flow.run()

    assert OutboxEvent.objects.count() == InboxEvent.objects.count() == 2
    assert journeys.journey("letter-1").settled
    assert Published.objects.count() == len(foreign_rows[0]) + 2
