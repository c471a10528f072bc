"""A project whose times have no zone (``USE_TZ = False``): the kit's own are aware and in UTC all the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from microworkflows.models import InboxEvent, OutboxEvent
from tests.integration.support.brokers import Broker
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

ZONE = "America/New_York"
WITHOUT_ZONES: dict[str, Any] = {"USE_TZ": False, "TIME_ZONE": ZONE}


@pytest.mark.slow
def test_events_are_recorded_relayed_retried_purged_and_relayed_again(
    launch: Launcher, broker: Broker, tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    launch.worker("probe,echo", **WITHOUT_ZONES)

    (failing,) = ask(behaviour="fail", file=str(tmp_path / "trace"), times=1)
    launch.run("probe_record", "here", "--count", "3", "--behaviour", "emit", **WITHOUT_ZONES)

    eventually(lambda: len(effects("probe.answer")) == 4 and len(effects("echo.conclude")) == 3)
    assert broker.count("probe.dead") == broker.count("echo.dead") == 0
    rows = OutboxEvent.objects.all()
    assert all(began < row.added < datetime.now(UTC) for row in rows)
    assert {row.body["time"][-1] for row in rows} == {"Z"}
    retried = InboxEvent.objects.get(msg_id=f"probe.answer:{failing.id}")
    assert retried.attempts == 1
    assert began < retried.handled_at < datetime.now(UTC)

    assert "0 deliveries are missing" in launch.run("unreceived", "--minutes", "0", **WITHOUT_ZONES)
    launch.run("purge_events", "--days", "1", **WITHOUT_ZONES)
    assert OutboxEvent.objects.count() == len(rows)
    since = f"{began.astimezone(ZoneInfo(ZONE)):%Y-%m-%dT%H:%M:%S}"
    assert "pending again" in launch.run("relay", "--again", "--since", since, **WITHOUT_ZONES)
    eventually(lambda: not OutboxEvent.objects.pending().exists(), what="everything relayed again")
    assert len(effects("probe.answer")) == 4
