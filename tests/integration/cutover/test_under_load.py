"""Payments moves, and moves back, while orders keep coming in: nothing is lost, and nothing is done twice."""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from inventory.models import StockItem
from microworkflows.models import InboxEvent, OutboxEvent
from orders.models import Order
from payments.models import Payment
from tests import soaking
from tests.integration.cutover import shop
from tests.integration.cutover.conftest import On
from tests.integration.support.processes import Launcher, Process
from tests.integration.support.waiting import eventually
from tests.soaking import Report

pytestmark = [
    *(pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance, pytest.mark.chaos),
    *(pytest.mark.slow, pytest.mark.soak),
]

SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.integration.cutover.settings"}
OTHERS = "orders,inventory,shipping"

Start = Callable[..., Process]


def worker(launcher: Launcher, queues: str, database: str) -> Process:
    return launcher.worker(queues, "-c", "2", environment={**SETTINGS, "DATABASE_URL": database})


def move(launcher: Launcher, *, of: Process, source: str, to: str) -> Process:
    """Move payments as an operator does; return its new worker."""
    environment = {**SETTINGS, "DATABASE_URL": source}
    command = ("split_database", "payments", "--to", to, "--unproven", shop.UNPROVEN)
    mover = launcher.manage(*command, environment=environment)
    assert mover.wait(timeout=90) == 0, mover.output
    of.says("was moved to", timeout=30)
    assert of.stop() == 0
    return worker(launcher, "payments", to)


def shipped() -> int:
    return Order.objects.filter(state="shipped").count()


def ship_more() -> None:
    """Wait until 21 more orders are shipped, for one at a time: each is progress."""
    before = shipped()
    for number in range(before + 1, before + 22):
        eventually(partial(at_least, number), timeout=60, what=f"{number} orders shipped")


def at_least(count: int) -> bool:
    return shipped() >= count


def handled_by_payments() -> int:
    return InboxEvent.objects.of_context("payments").filter(status=InboxEvent.Status.HANDLED).count()


def travelling() -> int:
    return Order.objects.exclude(state__in=["shipped", "cancelled"]).count()


def open_messages() -> dict[str, Any]:
    return {
        "pending": list(OutboxEvent.objects.pending()),
        "unheard": list(OutboxEvent.objects.unheard()),
        "waiting": list(InboxEvent.objects.waiting()),
        "parked": list(InboxEvent.objects.parked()),
    }


def test_context_moves_and_moves_back_while_orders_come_in(
    source: str, target: str, on: On, launcher: Launcher, tmp_path: Path, soaked: Report
) -> None:
    StockItem.objects.filter(sku="MUG-STONE-350").update(on_hand=100_000_000)
    end = tmp_path / "end"
    worker(launcher, OTHERS, source)
    payments = worker(launcher, "payments", source)
    code = f"import django; django.setup(); from tests.integration.cutover import shop; shop.place_until({str(end)!r})"
    orders = launcher.start(sys.executable, "-c", code, environment=SETTINGS)
    ship_more()

    for _ in range(soaking.times(1)):
        payments = move(launcher, of=payments, source=source, to=target)
        ship_more()
        with on(target):
            assert Payment.objects.count() > 20
        payments = move(launcher, of=payments, source=target, to=source)
        ship_more()
    move(launcher, of=payments, source=source, to=target)
    end.touch()

    assert orders.wait() == 0, orders.output
    eventually(lambda: travelling() == 0, timeout=90, what="no order on its way")
    eventually(lambda: not any(open_messages().values()), what="nothing to be done")
    ends = dict(Order.objects.values_list("pk", "state"))
    reasons = Counter(Order.objects.values_list("state", "cancel_reason"))
    assert not any(shop.kept()[name] for name in ("inbox", "outbox"))
    told = {
        kind: OutboxEvent.objects.of_type(f"{kind}.v1").count()
        for kind in ("orders.order_accepted", "inventory.out_of_stock")
    }
    with on(target):
        eventually(lambda: not any(open_messages().values()), what="nothing to be done by payments")
        eventually(lambda: handled_by_payments() >= sum(told.values()), what="all handled by payments")
        payments_by_order = dict(Payment.objects.values_list("order_id", "state"))
        announced = Counter(
            OutboxEvent.objects.of_context("payments").values_list("destination", "body__data__order_id")
        )
        handled = handled_by_payments()

    assert payments_by_order.keys() == ends.keys()
    assert set(announced.values()) == {1}
    assert handled == sum(told.values())
    assert Counter(payments_by_order.values()) == {
        "received": reasons["shipped", ""],
        "declined": reasons["cancelled", "payment_declined"],
        "refunded": reasons["cancelled", "out_of_stock"],
    }
    assert all(
        (ends[order] == "shipped") == (state == "received") for order, state in payments_by_order.items()
    )
    soaked(moves=2 * soaking.times(1) + 1, orders=len(ends))
