"""A context goes live while its worker runs, and not after that was stopped."""

import pytest

from microworkflows.cutover import switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.stamps import Mode
from microworkflows.cutover.switch import CutoverRefusedError
from tests.integration.cutover import shop
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"}


def go_live() -> str:
    """Return an empty text, or why payments may not go live."""
    shop.go("payments", "inline")
    try:
        switch.change("payments", mode=Mode.LIVE, by="somebody", why="a test", although=KINDS)
    except CutoverRefusedError as error:
        return str(error)
    return ""


def test_context_goes_live_only_while_its_worker_runs(launcher: Launcher) -> None:
    assert "No worker of payments was ever seen" in go_live()

    worker = launcher.worker("payments", environment=SETTINGS)
    eventually(lambda: go_live() == "", what="a worker that is seen")
    assert worker.stop() == 0, worker.output

    assert "The last worker of payments was stopped on" in go_live()
