"""Pauses, with real workers that are killed meanwhile."""

import pytest

from microworkflows import holds
from microworkflows.models import Hold, InboxEvent
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.chaos]

_NUMBER = 100


def put_aside() -> int:
    return InboxEvent.objects.waiting().filter(retry=0).count()


def test_worker_killed_while_paused_and_while_resuming_loses_and_doubles_nothing(
    launch: Launcher, probe: None
) -> None:
    holds.pause(Hold.Kind.MICROWORKFLOW, "probe.answer", by="ada", why="test")
    worker = launch.worker("probe", "-c", "2")
    ask(_NUMBER, behaviour="pause")
    eventually(lambda: put_aside() > 10, what="messages put aside")
    worker.kill()

    worker = launch.worker("probe", "-c", "2")
    eventually(lambda: put_aside() == _NUMBER, what="all messages put aside")
    assert effects("probe.answer") == []

    launch.run("resume", "probe.answer", "--by", "ada")
    eventually(lambda: len(effects("probe.answer")) > 5, what="messages that came back")
    worker.kill()
    launch.worker("probe", "-c", "2", MICROWORKFLOWS={"REDELIVERY_LEASE": 2.0})

    eventually(lambda: len(effects("probe.answer")) == _NUMBER, what="all messages handled")
    assert not InboxEvent.objects.failing().exists()
    assert set(InboxEvent.objects.values_list("retry", flat=True)) == {0}
