"""Modes change at random while orders come in and workers are killed: each order comes to one end, and all adds up."""

import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.db.models import Count

from inventory.models import StockItem
from microworkflows import registry
from microworkflows.cutover import switch
from microworkflows.cutover.doubts import KINDS
from microworkflows.cutover.stamps import MONOLITH, Mode
from microworkflows.models import InboxEvent, OutboxEvent
from orders.models import Order, PaymentToken
from payments.models import Payment
from shipping.models import Shipment
from tests import soaking
from tests.integration.cutover import shop
from tests.integration.cutover.test_under_load import SETTINGS, open_messages, shipped, travelling
from tests.integration.support.processes import Launcher
from tests.integration.support.waiting import eventually
from tests.soaking import Report

pytestmark = [pytest.mark.postgres, pytest.mark.rabbitmq, pytest.mark.acceptance]


def place(end: str) -> None:
    """Place orders until there is such a file; without the slow bank, which fails a placing that is inline."""
    wishes = [
        ("MUG-STONE-350", PaymentToken.VISA),
        ("MUG-STONE-350", PaymentToken.DECLINED),
        ("CUP-RAKU-LTD", PaymentToken.VISA),
    ]
    for sku, pays in itertools.cycle(wishes):
        if Path(end).exists():
            return
        shop.place(sku, pays=pays)
        time.sleep(shop.PAUSE_SECONDS)


@pytest.mark.parametrize(
    "switches",
    [
        pytest.param(8, id="few"),
        pytest.param(soaking.times(25), id="many", marks=[pytest.mark.slow, pytest.mark.soak]),
    ],
)
def test_orders_come_to_one_end_whatever_is_switched_and_killed(
    launcher: Launcher, tmp_path: Path, soaked: Report, switches: int
) -> None:
    chance = random.Random(20)
    StockItem.objects.filter(sku="MUG-STONE-350").update(on_hand=100_000_000)
    on_hand, before = StockItem.objects.get(sku="MUG-STONE-350").on_hand, shipped()
    queues = [*shop.CONTEXTS, MONOLITH]
    workers = {queue: launcher.worker(queue, environment=SETTINGS, wait=False) for queue in queues}
    for worker in workers.values():
        worker.says(" ready.")
    end = tmp_path / "end"
    code = f"import django; django.setup(); from tests.integration.cutover import test_switching as test; test.place({str(end)!r})"
    generator = launcher.start(sys.executable, "-c", code, environment=SETTINGS)
    eventually(lambda: shipped() > 5, timeout=60)

    for number in range(switches):
        context = chance.choice(shop.CONTEXTS)
        mode, percent = chance.choice([(Mode.INLINE, None), (Mode.LIVE, 50), (Mode.LIVE, 100)])
        switch.change(context, mode=mode, percent=percent, by="chance", why="a test", although=KINDS)
        if number % 8 == 5:
            victim = chance.choice(queues)
            workers[victim].kill()
            workers[victim] = launcher.worker(victim, environment=SETTINGS, wait=False)
        time.sleep(0.3)
    end.touch()

    assert generator.wait() == 0, generator.output
    eventually(lambda: travelling() == 0, timeout=90, what="no order on its way")
    eventually(lambda: not any(open_messages().values()), timeout=30, what="nothing to be done")
    eventually(lambda: not _expected_steps() - _steps_done(), what="every step done")
    every_step_was_done_once()
    stamps = {
        row.body.get("cutover", "all live") for row in OutboxEvent.objects.of_type("orders.order_accepted.v1")
    }
    assert len(stamps) > switches // 5, "the flows did begin under different modes"
    ends = Counter(Order.objects.values_list("state", "cancel_reason"))
    assert Counter(Payment.objects.values_list("state", flat=True)) == {
        "received": ends["shipped", ""],
        "declined": ends["cancelled", "payment_declined"],
        "refunded": ends["cancelled", "out_of_stock"],
    }
    assert Shipment.objects.count() == ends["shipped", ""]
    mugs = StockItem.objects.get(sku="MUG-STONE-350")
    assert (on_hand - mugs.on_hand, mugs.reserved) == (shipped() - before, 0)
    soaked(switches=switches, kills=(switches + 2) // 8, orders=sum(ends.values()))


def every_step_was_done_once() -> None:
    """Each event has one handled inbox row of each microworkflow that listens to its type, and no type comes twice in a flow."""
    twice = (
        OutboxEvent.objects.values("destination", "body__correlationid")
        .annotate(times=Count("pk"))
        .filter(times__gt=1)
    )
    assert list(twice) == []
    assert _steps_done() == _expected_steps()


def _steps_done() -> Counter[tuple[str, str]]:
    return Counter(
        (row.label, str(row.event_id)) for row in InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED)
    )


def _expected_steps() -> Counter[tuple[str, str]]:
    return Counter(
        (workflow.label, str(event.pk))
        for event in OutboxEvent.objects.all()
        for workflow in registry.listeners(event.type)
    )
