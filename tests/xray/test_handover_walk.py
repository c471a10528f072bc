"""From a seam to a running inline step, in a shop that hands over in three ways: scaffolded code and the edits that it asks for."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.xray.handover import copied
from tests.xray.test_scaffold import run, scaffolded

PROOF = """
from django.test import TestCase

from microworkflows.models import InboxEvent, OutboxEvent
from shop.orders import creators, services
from shop.orders.models import Line, Order
from shop.stock.models import Reservation, Stock


class Walk(TestCase):
    def test_walk(self) -> None:
        stock = Stock.objects.create(sku="tea", available=10)
        order = creators.place_order("1", {"tea": 3})
        self.assertEqual((Stock.objects.get().available, Reservation.objects.count()), (7, 1))
        services.close_order(order)
        self.assertEqual(Reservation.objects.count(), 0)
        services.return_order(order)
        self.assertEqual(Stock.objects.get().available, 10)
        print("events", [row.type for row in OutboxEvent.objects.all()])
        print("steps", [row.label for row in InboxEvent.objects.all()])
"""
"""The same before and after: what the shop does is unchanged."""


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def edit_call(root: Path) -> None:
    services = root / "shop/orders/services.py"
    edit(services, "services.put_back(line", "announcing.announce_line_returned(line")
    edit(services, "from shop.orders.models", "from shop.orders import announcing\nfrom shop.orders.models")


def edit_template_method(root: Path) -> None:
    edit(
        root / "shop/settings.py",
        "shop.stock.creators.StockOrderCreator",
        "shop.orders.announcing.StockOrderCreator",
    )


def edit_signal(root: Path) -> None:
    """Nothing is left to edit: legacy.py puts the new receiver in the old one's place."""


EDITS = {
    "call": (edit_call, "orders.line_returned.v1"),
    "template method": (edit_template_method, "orders.line_placed.v1"),
    "signal": (edit_signal, "orders.order_closed.v1"),
}


def proved(root: Path, settings: str) -> "subprocess.CompletedProcess[str]":
    (root / "shop/test_walk.py").write_text(PROOF)
    return run(root, sys.executable, "-W", "error", "manage.py", "test", "shop", settings=settings)


@pytest.mark.parametrize("shape", EDITS)
def test_seam_becomes_a_step_that_runs_inline_and_once(shape: str, tmp_path: Path) -> None:
    edits: Callable[[Path], None]
    root = copied(tmp_path)
    edits, event = EDITS[shape]
    scaffolded(root, shape)
    edits(root)

    finished = proved(root, "microworkflows_settings")

    assert finished.returncode == 0, finished.stderr
    assert f"events ['{event}']" in finished.stdout
    (steps,) = (line for line in finished.stdout.splitlines() if line.startswith("steps"))
    assert steps.count("stock.") == 1, steps
    assert "Ran 2 tests" in finished.stderr
