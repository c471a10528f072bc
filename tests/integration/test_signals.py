"""Signals of what somebody should look at, from real workers and relays; their receivers fail, which changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from microworkflows import outbox, signals
from microworkflows.models import InboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import Whispered, ask
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]


@pytest.mark.slow
def test_failed_parked_unheard_and_dead_messages_are_told_once_each(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    file = tmp_path / "signals"
    worker = launch.worker("probe", PROBE_SIGNALS=str(file))

    (fails,) = ask(behaviour="fail", file=str(tmp_path / "trace"), times=1)
    (refused,) = ask(behaviour="refuse")
    with transaction.atomic():
        whispered = outbox.record_all([Whispered(number=1), Whispered(number=2)])
    broker.publish("no event")

    eventually(lambda: len(_told(file)) == 4, what="four signals")
    told = _told(file)
    assert told["failed"] == {
        "sender": "InboxEvent",
        "message": f"probe.answer probe.asked.v1 {fails.id}",
        "exception": "failed on purpose, run 1",
    }
    assert told["parked"] == {
        "sender": "InboxEvent",
        "message": f"probe.answer probe.asked.v1 {refused.id}",
        "exception": "refused on purpose",
    }
    assert told["unheard"]["sender"] == "OutboxEvent"
    assert told["unheard"]["context"] == "probe"
    assert told["unheard"]["event_ids"] == [str(meta.id) for meta in whispered]
    assert told["dead_lettered"]["sender"] == "DeadLetter"
    assert told["dead_lettered"]["queue"] == "probe"
    assert "JSON" in told["dead_lettered"]["error"]
    eventually(lambda: InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED).count() == 1)
    assert worker.status is None
    assert "a receiver that fails" in worker.output


def _told(file: Path) -> dict[str, dict[str, Any]]:
    """Return what was told, by signal, and check that none was told twice."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    told = {line.pop("signal"): line for line in lines}
    assert len(told) == len(lines)
    assert told.keys() <= {*signals.__all__}
    return told
