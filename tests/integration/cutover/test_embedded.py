"""A context goes live without servers: its queue is bound while orders are recorded, and nothing is lost."""

import sys
from functools import partial
from pathlib import Path

import pytest

from microworkflows.models import InboxEvent
from orders.models import Order
from tests.integration.cutover.test_switching import _expected_steps, _steps_done, every_step_was_done_once
from tests.integration.cutover.test_under_load import open_messages, travelling
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"}
ORDERS = 12
"""So many end before the first context goes live, and after each."""


def more_end(number: int = ORDERS) -> None:
    """Wait until so many more orders have come to an end; in a process on the files."""
    ended = Order.objects.filter(state__in=["shipped", "cancelled"])
    before = ended.count()
    eventually(lambda: ended.count() >= before + number, timeout=120, progress=ended.count)


def nothing_is_lost(*live: str) -> None:
    """Wait until nothing is left to do; see that each step was done once, and some by the workers; in a process on the files."""
    eventually(lambda: travelling() == 0, timeout=120, progress=travelling, what="no order on its way")
    eventually(lambda: not any(open_messages().values()), timeout=60, what="nothing to be done")
    eventually(lambda: not _expected_steps() - _steps_done(), timeout=60, what="every step done")
    every_step_was_done_once()
    for context in live:
        assert InboxEvent.objects.of_context(context).exclude(headers__has_key="mode").exists(), context


def test_queue_that_is_bound_while_orders_are_recorded_misses_none(tmp_path: Path) -> None:
    launcher = Launcher(
        tmp_path, database=f"sqlite:///{tmp_path / 'db.sqlite3'}", broker=f"embedded://{tmp_path / 'broker'}"
    )
    end = tmp_path / "end"

    def run(call: str) -> None:
        code = f"import django; django.setup(); from tests.integration.cutover import test_embedded, test_switching; {call}"
        process = launcher.start(sys.executable, "-c", code, environment=SETTINGS)
        assert process.wait(timeout=600) == 0, process.output

    def waiting(queue: str) -> int:
        return len(list((tmp_path / "broker" / "queues" / queue).glob("[!.]*.json")))

    try:
        for command in (["migrate", "--verbosity", "0"], ["seed_catalogue"], ["seed_stock"]):
            launcher.run(*command, environment=SETTINGS)
        launcher.worker("monolith", environment=SETTINGS)
        code = f"import django; django.setup(); from tests.integration.cutover import test_switching as test; test.place({str(end)!r})"
        orders = launcher.start(sys.executable, "-c", code, environment=SETTINGS)
        run("test_embedded.more_end()")
        assert [waiting(context) for context in ("payments", "shipping")] == [0, 0]

        for context in ("payments", "shipping"):  # nobody consumes its queue yet: the relay alone binds it
            known = ["--although", "worker", "footprint", "jump", "--why", "a test"]
            live = ["cutover", context, "--mode", "live", "--percent", "50", *known]
            launcher.run(*live, environment=SETTINGS)
            eventually(partial(waiting, context), timeout=120, what=f"an event for {context}")
            launcher.worker(context, environment=SETTINGS)
            run("test_embedded.more_end()")
        end.touch()

        assert orders.wait(timeout=120) == 0, orders.output
        run("test_embedded.nothing_is_lost('payments', 'shipping')")
    finally:
        launcher.end()
