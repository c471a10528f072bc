"""Redelivery by the relay, against a worker that is quicker than the relay's own notes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from microworkflows import inbox
from microworkflows.models import InboxEvent, OutboxEvent
from microworkflows.relay import store
from microworkflows.relay.publisher import Outcome
from tests.integration.conftest import StartRelay
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, cloud_event
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.fixture
def failing(database: str, probe: None, tmp_path: Path) -> dict[str, object]:
    """Return an event whose handler fails each time, and that has failed once."""
    event: dict[str, object] = json.loads(
        cloud_event(behaviour="fail", file=str(tmp_path / "trace"), times=1000)
    )
    inbox.receive(event, queue="probe")
    InboxEvent.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return event


def test_attempt_that_failed_before_the_lease_was_noted_keeps_its_own_next_time(
    failing: dict[str, object], settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RETRY_DELAY": 2.0, "REDELIVERY_LEASE": 600.0}
    found = timezone.now()
    (message,) = store.due_retries("probe", limit=10, now=found)
    # The worker has it, and fails, before the relay notes that it was relayed.
    inbox.receive(failing, queue="probe", attempt=message.attempt)

    store.mark_retries(Outcome(confirmed=[message.id]), now=found)

    row = InboxEvent.objects.get()
    assert row.attempts == 2
    assert row.due_at < timezone.now() + timedelta(seconds=10)


def test_redelivered_message_that_nobody_takes_is_redelivered_after_the_lease(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 1.0}
    relay(broker.url)

    taken = broker.take("probe", 2)

    assert {each.event["id"] for each in taken} == {failing["id"]}
    assert broker.count("echo") == 0  # it comes back to its own context alone


def test_retries_come_due_while_events_never_end(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_BATCH": 1, "RELAY_POLL": 0.1}
    ask(2000)
    relay(broker.url)

    eventually(lambda: InboxEvent.objects.get().due_at > timezone.now() + timedelta(seconds=10))
    assert OutboxEvent.objects.pending().exists()


def test_waiting_message_whose_microworkflow_is_no_more_is_delivered_once_more_and_parked(
    failing: dict[str, object], relay: StartRelay, broker: Broker, settings: Settings
) -> None:
    settings.MICROWORKFLOWS = {"RELAY_POLL": 0.1, "REDELIVERY_LEASE": 0.5}
    InboxEvent.objects.update(msg_id=f"probe.answer_long_ago:{failing['id']}")

    relay(broker.url)

    (row,) = eventually(lambda: list(InboxEvent.objects.parked()), what="a parked message")
    assert "The microworkflow probe.answer_long_ago no longer exists" in (row.error or "")
    assert row.attempts == 1
    (seen,) = broker.take("probe", 1, quiet=2)
    assert seen.event["id"] == failing["id"]
