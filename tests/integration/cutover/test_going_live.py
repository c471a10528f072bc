"""A context goes live unasked while its worker runs, and not after that was stopped; its queue gets what it needs, and nothing before."""

import sys
import time
from pathlib import Path

import pytest

from microworkflows.cutover import switch
from microworkflows.cutover.doubts import KINDS, Kind
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError
from microworkflows.models import InboxEvent, OutboxEvent
from orders.models import Order
from tests.integration.cutover import shop
from tests.integration.cutover.test_switching import every_step_was_done_once
from tests.integration.cutover.test_under_load import open_messages, shipped, travelling
from tests.integration.support.brokers import Broker
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"}


def go_live() -> str:
    """Return an empty text, or why payments may not go live."""
    shop.go("payments", "inline")
    try:
        known = set(KINDS) - {Kind.WORKER}
        switch.change("payments", mode=Mode.LIVE, by="somebody", why="a test", although=known)
    except CutoverRefusedError as error:
        return str(error)
    return ""


def test_missing_worker_is_asked_about_and_one_that_runs_is_not(launcher: Launcher) -> None:
    assert "The worker of payments was never seen" in go_live()

    worker = launcher.worker("payments", environment=SETTINGS)
    eventually(lambda: go_live() == "", what="a worker that is seen")
    assert worker.stop() == 0, worker.output

    assert "The worker of payments was stopped on" in go_live()


@pytest.mark.slow
def test_queues_stay_empty_under_load_until_a_flow_is_live_and_then_nothing_is_lost(
    launcher: Launcher, broker_url: str, tmp_path: Path
) -> None:
    for context in shop.CONTEXTS:
        shop.go(context, "inline")
    broker, end = Broker(broker_url), tmp_path / "end"
    launcher.worker("monolith", environment=SETTINGS)
    code = f"import django; django.setup(); from tests.integration.cutover import test_switching as test; test.place({str(end)!r})"
    before = shipped()
    generator = launcher.start(sys.executable, "-c", code, environment=SETTINGS)
    eventually(lambda: shipped() > before + 5, timeout=60)
    relayed = OutboxEvent.objects.filter(status=OutboxEvent.Status.RELAYED)
    eventually(lambda: relayed.count() > 20, what="events at the broker")

    assert [broker.count(context) for context in shop.CONTEXTS] == [0, 0, 0, 0]
    # Nobody consumes them yet: whatever is missing in a queue at the end was lost by the switch.
    for context in ("payments", "shipping"):
        switch.change(context, mode=Mode.LIVE, percent=50, by="s", why="t", although=KINDS)
        time.sleep(1)
    eventually(lambda: broker.count("payments") > 0, what="an event for payments")
    assert broker.count("inventory") == broker.count("orders") == 0
    for queue in ("payments", "shipping"):
        launcher.worker(queue, environment=SETTINGS)
    time.sleep(1)
    end.touch()

    assert generator.wait() == 0, generator.output
    eventually(lambda: travelling() == 0, timeout=90, what="no order on its way")
    eventually(lambda: not any(open_messages().values()), timeout=30, what="nothing to be done")
    assert InboxEvent.objects.of_context("payments").exclude(headers__has_key="mode").exists()
    assert Order.objects.filter(state="shipped").count() > before
    every_step_was_done_once()
