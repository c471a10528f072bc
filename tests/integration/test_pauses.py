"""Pauses, with real workers that are killed meanwhile."""

import time

import pytest

from microworkflows import Subject, holds
from microworkflows.models import Hold, InboxEvent, OutboxEvent
from tests.integration.support.probing import Answered, ask, effects
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


def test_events_of_a_flow_keep_their_order_through_a_pause_and_what_comes_meanwhile(
    launch: Launcher, probe: None
) -> None:
    flow = Subject(kind="probe.topic", key="1")
    holds.pause(Hold.Kind.CONTEXT, "probe", by="ada", why="test")
    launch.worker("probe", "-c", "1")
    ask(_NUMBER, about=flow, behaviour="emit")
    eventually(lambda: put_aside() == _NUMBER, what="all messages put aside")

    launch.run("resume", "probe", "--by", "ada")
    for number in range(_NUMBER, 2 * _NUMBER):  # some come while others come back
        ask(1, start=number, about=flow, behaviour="emit")
        time.sleep(0.05)

    eventually(lambda: len(answered()) == 2 * _NUMBER, what="all messages handled")
    assert answered() == list(range(2 * _NUMBER))
    assert set(InboxEvent.objects.values_list("retry", flat=True)) == {0}


def answered() -> list[int]:
    """Return the numbers of the answers, in the order in which they were recorded."""
    answers = OutboxEvent.objects.of_type(Answered.event_type).order_by("added")
    return list(answers.values_list("body__data__number", flat=True))
