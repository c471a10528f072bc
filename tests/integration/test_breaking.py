"""A gateway that is away for long, with real workers, one of which is killed meanwhile."""

from datetime import timedelta
from pathlib import Path

import pytest

from microworkflows.models import HistoryEntry, Hold, InboxEvent
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos, pytest.mark.slow]

_NUMBER = 60
_AFTER = 3
_POOL = 2


def pauses() -> list[timedelta]:
    """Return the lengths of the pauses so far, the first one first."""
    holds = Hold.objects.order_by("began_at")
    return [hold.ends_at - hold.began_at for hold in holds if hold.ends_at is not None]


def test_gateway_that_is_away_parks_nothing_and_all_goes_on_by_itself(
    launch: Launcher, probe: None, tmp_path: Path
) -> None:
    gateway = tmp_path / "gateway"
    lease = {"REDELIVERY_LEASE": 2.0}
    worker = launch.worker("probe", "-c", str(_POOL), MICROWORKFLOWS=lease)

    ask(_NUMBER, behaviour="gateway", file=str(gateway))
    eventually(lambda: len(pauses()) >= 2, what="a second pause")
    worker.kill()
    launch.worker("probe", "-c", str(_POOL), MICROWORKFLOWS=lease)
    eventually(lambda: len(pauses()) >= 6, what="further pauses")
    eventually(lambda: InboxEvent.objects.waiting().count() == _NUMBER, what="all messages in the inbox")

    asked = len(gateway.read_text().splitlines())
    assert asked <= _POOL * (_AFTER + len(pauses()) + 1)  # instead of attempts of all messages
    assert effects("probe.answer") == []
    assert set(InboxEvent.objects.values_list("status", "retry")) == {(InboxEvent.Status.WAITING, 0)}
    Path(f"{gateway}.up").touch()

    eventually(lambda: len(effects("probe.answer")) == _NUMBER, what="all messages handled")
    eventually(lambda: not InboxEvent.objects.failing().exists(), what="nothing that waits")
    assert set(InboxEvent.objects.values_list("status", "retry")) == {(InboxEvent.Status.HANDLED, 0)}
    assert not HistoryEntry.objects.filter(kind=HistoryEntry.Kind.PARKED).exists()
    seconds = [pause.total_seconds() for pause in pauses()]
    assert seconds[:4] == pytest.approx([0.25, 0.5, 1, 1], abs=0.001)
    assert set(Hold.objects.values_list("by", flat=True)) == {Hold.BREAKER}
    eventually(lambda: not Hold.objects.filter(ended_at=None).exists(), what="a closed circuit")
