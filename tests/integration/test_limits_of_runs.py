"""Limits of a microworkflow's runs with real workers: so many at once, so many in a time, and none for longer."""

import time
from collections import Counter
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent
from tests.integration.support.probing import ask, effects
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq]

QUICK = {"RELAY_POLL": 0.2, "REDELIVERY_LEASE": 2.0, "RETRY_DELAY": 0.2, "MAX_ATTEMPTS": 2}


def noted(file: Path) -> list[tuple[str, float, int]]:
    """Return the signs, times and processes that the handlers left."""
    lines = map(str.split, file.read_text().splitlines())
    return [(sign, float(at), int(process)) for sign, at, process in lines]


def all_handled_at_once(number: int) -> None:
    """Wait until all are handled; see that none of them cost an attempt."""
    eventually(lambda: len(effects("probe.answer")) == number, what="all handled")
    eventually(lambda: not InboxEvent.objects.failing().exists(), what="nothing that waits")
    own = InboxEvent.objects.of_workflow("probe.answer")
    assert set(own.values_list("status", "retry")) == {(InboxEvent.Status.HANDLED, 0)}


@pytest.mark.chaos
@pytest.mark.slow
def test_no_more_runs_than_allowed_go_on_at_once_even_if_a_worker_is_killed(
    launch: Launcher, probe: None, tmp_path: Path
) -> None:
    file = tmp_path / "noted"
    first, _ = (
        launch.worker("probe", "-c", "2", MICROWORKFLOWS=QUICK, PROBE_LIMITS={"concurrency": 2})
        for _ in range(2)
    )

    ask(40, behaviour="last", file=str(file), times=40, per_transaction=5)
    eventually(lambda: len(effects("probe.answer")) > 5, what="some handled")
    killed_at = time.time()
    first.kill()
    launch.worker("probe", "-c", "2", MICROWORKFLOWS=QUICK, PROBE_LIMITS={"concurrency": 2})

    all_handled_at_once(40)
    going_on = most = 0
    signs = noted(file)
    unfinished = Counter(process for sign, _, process in signs if sign == "+")
    unfinished.subtract(process for sign, _, process in signs if sign == "-")
    signs += [("-", killed_at, process) for process, number in unfinished.items() if number]
    for sign, _, _ in sorted(signs, key=lambda each: each[1]):
        going_on += 1 if sign == "+" else -1
        most = max(most, going_on)
    assert 1 <= most <= 2


def test_runs_begin_at_the_rate_that_is_allowed_and_all_are_done(
    launch: Launcher, probe: None, tmp_path: Path
) -> None:
    file = tmp_path / "noted"
    for _ in range(2):
        launch.worker("probe", "-c", "2", MICROWORKFLOWS=QUICK, PROBE_LIMITS={"rate": 20})

    ask(60, behaviour="last", file=str(file))

    all_handled_at_once(60)
    began = sorted(at for sign, at, _ in noted(file) if sign == "+")
    assert began[-1] - began[0] >= 2  # seconds: those of the first one together, 40 more at 20 a second
    for at in began:
        assert sum(at <= other < at + 1 for other in began) <= 2 * 20 + 1


def test_run_that_takes_too_long_is_broken_off_and_the_process_goes_on(
    launch: Launcher, probe: None, tmp_path: Path
) -> None:
    worker = launch.worker("probe", "-c", "1", MICROWORKFLOWS=QUICK, PROBE_RUN_SECONDS=0.3)

    (slow,) = ask(behaviour="last", file=str(tmp_path / "noted"), times=600_000)
    (in_database,) = ask(
        behaviour="execute", file=str(tmp_path / "trace"), times=9, padding="SELECT pg_sleep(600)"
    )
    (quick,) = ask(start=2)

    eventually(lambda: InboxEvent.objects.parked().count() == 2, what="parked messages")
    eventually(lambda: effects("probe.answer") == [str(quick.id)], what="the quick one")
    assert {row.event_id: row.attempts for row in InboxEvent.objects.parked()} == {
        slow.id: 2,
        in_database.id: 2,
    }
    for row in InboxEvent.objects.parked():
        assert (row.error or "").startswith(
            "RunTimeExceededError: probe.answer took longer than 0.3 s, its limit, and was broken off"
        )
    assert worker.status is None
    assert time.time() - noted(tmp_path / "noted")[0][1] < 60
