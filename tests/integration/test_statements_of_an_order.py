"""How many statements an order costs on its way through the shop, from placing it to the parcel, BEGIN and COMMIT included."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from inventory import operations as inventory
from microworkflows import bundling, isolation, registry, topology
from microworkflows.models import OutboxEvent
from microworkflows.worker import tasks
from orders import operations
from orders.models import Order
from tests.integration.support.statements import overheard
from tests.unit.shop.conftest import Draft, draft, shop  # noqa: F401  (fixtures)

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ONE_BY_ONE, IN_BUNDLES = 77, 19
"""The most that an order may cost; who needs more says why, and who needs less lowers them."""
AT_ONCE = 16

Deliver = Callable[[list[dict[str, Any]], str], None]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what is asked by the clock, and let no statement be prepared: such are not heard."""
    monkeypatch.setattr(bundling, "_LONGEST_SECONDS", 60.0)
    monkeypatch.setattr(isolation, "_LOOK_SECONDS", 60.0)
    monkeypatch.setattr(tasks, "_ALIVE_SECONDS", 60.0)
    connection.ensure_connection()
    monkeypatch.setattr(connection.connection, "prepare_threshold", None)


def singly(bodies: list[dict[str, Any]], queue: str) -> None:
    for body in bodies:
        receive: Any = tasks.receive
        receive(body, queue=queue)


def together(bodies: list[dict[str, Any]], queue: str) -> None:
    receive: Any = tasks.receive_bundle
    receive(bodies, queue=queue)


def statements(orders: list[Order], deliver: Deliver, folder: Path) -> list[str]:
    """Place orders and deliver all events; return what this process said to PostgreSQL, but for the relay's part."""
    with overheard(folder) as heard:
        for order in orders:
            operations.place_order(order=order)
    said = heard.statements
    while rows := list(OutboxEvent.objects.pending()):
        for queue in topology.queues():
            contexts = topology.contexts_served_by(queue)
            bodies = [row.body for row in rows if registry.listeners(row.type, contexts=contexts)]
            if bodies:
                with overheard(folder) as heard:
                    deliver(bodies, queue)
                said += heard.statements
        OutboxEvent.objects.filter(pk__in=[row.pk for row in rows]).update(status=OutboxEvent.Status.RELAYED)
    return said


@pytest.mark.parametrize(
    ("deliver", "count", "most"),
    [
        pytest.param(singly, 1, ONE_BY_ONE, id="one by one"),
        pytest.param(together, AT_ONCE, IN_BUNDLES, id="in bundles"),
    ],
)
def test_order_costs_no_more_statements_than(
    draft: Draft,  # noqa: F811
    tmp_path: Path,
    deliver: Deliver,
    count: int,
    most: float,
) -> None:
    for sku in ("TEA-SENCHA-100", "MUG-STONE-350"):
        inventory.restock(sku=sku, available=1_000)
    statements([draft()], deliver, tmp_path)  # what a process asks once

    said = statements([draft() for _ in range(count)], deliver, tmp_path)

    assert set(Order.objects.values_list("state", flat=True)) == {Order.State.SHIPPED}
    assert len(said) / count <= most, "\n".join(said)
