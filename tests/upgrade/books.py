"""What is left to do in the shop, and whether each order was done once."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.db.models import Count

from inventory.models import Reservation, StockItem
from microworkflows import registry
from microworkflows.models import InboxEvent, OutboxEvent
from orders.models import Order
from payments.models import Payment
from shipping.models import Shipment
from tests.upgrade import brokers

BY_DIRECT_CALLS = "shipped by direct calls"
_ONCE = {
    "shipped": (["received"], ["issued"], 1),
    "payment_declined": (["declined"], ["dropped"], 0),
    "out_of_stock": (["refunded"], ["refused"], 0),
    BY_DIRECT_CALLS: ([], [], 0),
}
"""By the end of an order: the states of its payments and reservations, and how many parcels left."""
_TIMERS = (OutboxEvent.Status.SCHEDULED, OutboxEvent.Status.CANCELLED)
"""Statuses of what is never sent, or not yet."""
_NEWER = {"payments.await_payment"}
"""Steps of today's code that the code before does not know: they were done for nothing that it has handled."""
_PATIENCE_SECONDS = 90.0


def wait_until_nothing_is_left(look: Callable[[], Mapping[str, Any]]) -> None:
    """Wait until ``look`` returns nothing any more; fail once it has returned the same for a long time."""
    left, changed_at = look(), time.monotonic()
    while left:
        if time.monotonic() > changed_at + _PATIENCE_SECONDS:
            raise AssertionError(f"for {_PATIENCE_SECONDS:.0f} s nothing changed; left to do: {left}")
        time.sleep(0.2)
        before, left = left, look()
        if left != before:
            changed_at = time.monotonic()


def left_to_do(
    broker: str, queues: Iterable[str], *, parked: Mapping[str, int], renewed: Mapping[str, int]
) -> dict[str, Any]:
    """Return what still has to come, given how many messages of which step are to be parked in the end.

    Those in ``renewed`` are parked by an old worker, and handled by a new one.
    """
    handled = _handled()  # before the events: what was handled by now has emitted its own
    given_up = {(row.label, row.event_id) for row in InboxEvent.objects.parked()}
    found: dict[str, Any] = {
        "waiting": InboxEvent.objects.waiting().count(),
        "to be handled": len(_steps() - handled - given_up),
        "pending": OutboxEvent.objects.pending().count(),
    }
    labels = Counter(label for label, _ in given_up)
    if labels not in (parked, Counter(parked) - Counter(renewed)):
        found["parked"] = dict(labels)
    if not any(found.values()):
        found |= {f"in {queue}": brokers.of(broker).count(queue) for queue in queues}
    return {name: value for name, value in found.items() if value}


def _steps() -> set[tuple[str, Any]]:
    """Return each event with each microworkflow that is to handle it: in a flow done by direct calls there is none, and none of a timer."""
    by_calls = {
        str(pk) for pk in Order.objects.filter(customer_name__startswith="done").values_list("pk", flat=True)
    }
    return {
        (workflow.label, event.pk)
        for event in OutboxEvent.objects.exclude(status__in=_TIMERS)
        if event.correlation_id not in by_calls
        for workflow in registry.listeners(event.type)
        if workflow.label not in _NEWER
    }


def _handled() -> set[tuple[str, Any]]:
    rows = InboxEvent.objects.filter(status=InboxEvent.Status.HANDLED)
    return {(row.label, row.event_id) for row in rows}


def errors() -> dict[Any, str | None]:
    """Return the errors of what is parked."""
    return {row.pk: row.error for row in InboxEvent.objects.parked()}


def assert_each_order_was_done_once(ends: Mapping[str, str], *, stock: Mapping[str, int]) -> None:
    """Hold the books of all contexts against the end of each order, and what is on the shelves against what was there."""
    found = {}
    for order in Order.objects.all():
        payments = Payment.objects.filter(order_id=order.pk)
        assert [payment.amount for payment in payments] in ([order.total], [])
        found[order.customer_name] = (
            order.cancel_reason or order.state,
            [payment.state for payment in payments],
            [reservation.state for reservation in Reservation.objects.filter(order_id=order.pk)],
            Shipment.objects.filter(order_id=order.pk).count(),
        )
    assert found == {name: (end.partition(" ")[0], *_ONCE[end]) for name, end in ends.items()}
    assert Payment.objects.count() == sum(len(payments) for _, payments, _, _ in found.values())
    twice = OutboxEvent.objects.values("destination", "body__correlationid").annotate(times=Count("pk"))
    assert list(twice.filter(times__gt=1)) == []
    mugs = sum(end == "shipped" for end in ends.values())
    assert {item.sku: (item.on_hand, item.reserved) for item in StockItem.objects.all()} == {
        sku: (on_hand - mugs if sku == "MUG-STONE-350" else on_hand, 0) for sku, on_hand in stock.items()
    }
