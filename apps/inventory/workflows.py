"""Microworkflows of inventory: a paid order is reserved, a shipped one leaves the shelves."""

from collections.abc import Sequence

from inventory import operations
from inventory.events import (
    ItemsReserved,
    OrderAccepted,
    OutOfStock,
    PaymentDeclined,
    PaymentReceived,
    ShipmentScheduled,
)
from microworkflows import microworkflow


@microworkflow(on=OrderAccepted, emits=[ItemsReserved, OutOfStock], many=True)
def note_order(events: Sequence[OrderAccepted]) -> list[ItemsReserved | OutOfStock | None]:
    """Keep what each order wants; reserve it, if the payment was faster."""
    wanted = {event.order_id: [(line.sku, line.quantity) for line in event.lines] for event in events}
    announced = operations.note_orders(wanted=wanted)
    return [announced.get(event.order_id) for event in events]


@microworkflow(on=PaymentReceived, emits=[ItemsReserved, OutOfStock], many=True)
def reserve_items(events: Sequence[PaymentReceived]) -> list[ItemsReserved | OutOfStock | None]:
    """Reserve what each order wants: all of it or nothing."""
    announced = operations.note_payments(order_ids=[event.order_id for event in events])
    return [announced.get(event.order_id) for event in events]


@microworkflow(on=PaymentDeclined)
def forget_order(event: PaymentDeclined) -> None:
    """Drop what the order wanted."""
    operations.forget_order(order_id=event.order_id)


@microworkflow(on=ShipmentScheduled, many=True)
def issue_items(events: Sequence[ShipmentScheduled]) -> None:
    """Take the reserved items of each order off the shelves."""
    operations.issue_items(order_ids=[event.order_id for event in events])
